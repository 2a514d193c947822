"""Simulator of Exchange's message trace and of mail folders in Microsoft Graph.

Rows and non-delivery reports are those of the messages that the simulator accepted.

async with Simulator(accounts) as simulator, Entra(simulator, apps) as entra, MessageTrace(simulator, entra) as trace:
    trace.delay = 180.0
    trace.mailboxes.reports_to = JUNK
    trace.fates["ada@example.net"] = (Step("pending"), Step("delivered", after=3600.0))
    ...  # a client requests a token for trace.url + "/.default" and reads trace.url + "/v1.0/admin/exchange/..."
"""

from app.simulator.trace.fates import Step
from app.simulator.trace.mailboxes import INBOX, JUNK, Mailboxes
from app.simulator.trace.rows import TraceRow
from app.simulator.trace.server import MessageTrace
from app.simulator.trace.throttle import TraceRequest
