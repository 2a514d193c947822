"""Response to a caller who is still sending the body."""

import asyncio
import contextlib

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

DRAIN_SECONDS = 30.0  # seconds a caller has to notice


class DrainingResponse(Response):
    """Sends the answer, then reads on and forgets what comes: closing at once would reset the connection, and a caller
    who is still writing would never read why (RFC 9112 §9.6)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Bounded by LINGER."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while (await receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})
