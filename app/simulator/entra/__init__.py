"""Simulator of Microsoft Entra ID: issues access tokens that the simulated SMTP server validates.

async with Simulator(accounts) as simulator, Entra(simulator, [App(CLIENT, secrets=("s3cret",))]) as entra:
    simulator.accounts.add(Account("noreply@contoso.com", validate_token=entra.is_valid_token))
    ...  # a client requests tokens at entra.authority for TENANT, and trusts simulator.ca_pem
    entra.refuse("AADSTS7000222", times=1)
"""

from app.simulator.entra.denial import DenialError
from app.simulator.entra.directory import App, Directory, Federation, TokenRequest
from app.simulator.entra.routes import IDENTITY_HEADER
from app.simulator.entra.server import Entra
from app.simulator.entra.tokens import SCOPE, TENANT
