"""Fixtures of the diagnosis: a healthy mailbox, upstream server and domain that tests break."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jwt

from app.doctor.doctor import examine
from app.doctor.finding import Finding, Step, StepOutcome
from app.doctor.target import CheckTarget, StepTimeouts
from app.mail.credential_expiry import CredentialExpiry
from app.mail.message.address import parse_address
from app.mail.outcome.verdict import LoginMethod
from app.simulator import Account, ExchangeLimits, Simulator
from app.smtp import tls
from app.smtp.auth.credentials import LoginSecret, Mechanism, Password
from app.smtp.handshake import Upstream
from tests.contract.doctor.name_server import NameServer, Zone

MAILBOX = "noreply@contoso.com"
PASSWORD = "a-password-for-tests"
CLIENT = "11c4c1f8-97a5-4d8a-b0cf-6a1e2f0d7c01"
OBJECT = "9a8b7c6d-1111-4222-8333-444455556666"
TIMEOUTS = StepTimeouts()
LIMITS = ExchangeLimits(tarpit=0)


def step_timeouts(**changes: float) -> StepTimeouts:
    """Return the default timeouts with changes for the step that waits."""
    return replace(TIMEOUTS, **changes)


def token(**changes: Any) -> str:
    """Return an app's token for Exchange, valid for an hour."""
    claims = {
        "aud": "https://outlook.office365.com",
        "appid": CLIENT,
        "oid": OBJECT,
        "tid": "5ba7e6d2-70f3-4c43-9d86-3c1b8a3f1e10",
        "roles": ["SMTP.SendAsApp"],
        "exp": int(time.time()) + 3600,
    }
    return jwt.encode({**claims, **changes}, "a-key-of-microsoft-alone-32-octets!", algorithm="HS256")


TOKEN = token()


@dataclass(frozen=True, slots=True)
class Bearer:
    """Credential source with a fixed access token."""

    value: str = field(repr=False)

    @property
    def method(self) -> LoginMethod:
        return LoginMethod.OAUTH

    async def secret(self) -> LoginSecret:
        return LoginSecret(Mechanism.XOAUTH2, MAILBOX, self.value)

    def reject(self, secret: LoginSecret) -> bool:
        return True

    def expiry(self) -> CredentialExpiry | None:
        return None


def account(**changes: Any) -> Account:
    """Return the mailbox with a password and a token."""
    facts: dict[str, Any] = {"password": PASSWORD, "token": TOKEN, "send_as": ("*@contoso.com",)}
    return Account(MAILBOX, **{**facts, **changes})


def zone(domain: str = "contoso.com") -> Zone:
    """Return the DNS records of a correct domain."""
    dashed, keys = domain.replace(".", "-"), f"_domainkey.{domain}"
    return {
        (domain, "MX"): [f"0 {dashed}.mail.protection.outlook.com."],
        (domain, "TXT"): ['"v=spf1 include:spf.protection.outlook.com -all"', '"MS=ms12345678"'],
        (f"selector1.{keys}", "CNAME"): [f"selector1-{dashed}._domainkey.contoso.onmicrosoft.com."],
        (f"selector2.{keys}", "CNAME"): [f"selector2-{dashed}._domainkey.contoso.n-v1.dkim.mail.microsoft."],
        (f"_dmarc.{domain}", "TXT"): ['"v=DMARC1; p=reject"'],
        ("spf.protection.outlook.com", "TXT"): ['"v=spf1 ip4:40.92.0.0/15 ip4:40.107.0.0/16 -all"'],
        ("7.113.0.203.in-addr.arpa", "PTR"): ["egress.contoso.com."],
        ("egress.contoso.com", "A"): ["203.0.113.7"],
    }


@dataclass(slots=True)
class DoctorEnvironment:
    """Servers of one test. `changes` are overrides of the target, `of_upstream` of its upstream."""

    simulator: Simulator
    names: NameServer
    folder: Path
    stack: AsyncExitStack
    changes: dict[str, Any] = field(default_factory=dict)
    of_upstream: dict[str, Any] = field(default_factory=dict)

    def target(self) -> CheckTarget:
        """Build the target."""
        self.simulator.write_ca(self.folder / "ca.pem")
        way: dict[str, Any] = {
            "host": "localhost",
            "port": self.simulator.port,
            "ehlo_name": "relay.contoso.com",
            "tls": tls.context(self.folder / "ca.pem"),
            "ipv4_only": True,
        }
        facts: dict[str, Any] = {
            "mailbox": MAILBOX,
            "upstream": Upstream(**{**way, **self.of_upstream}),
            "credentials": Bearer(TOKEN),
            "senders": (MAILBOX,),
            "sender": parse_address(MAILBOX),
            "max_message_bytes": 35 * 2**20,
            "egress": "203.0.113.7",
            "name_server": self.names.address,
        }
        return CheckTarget(**{**facts, **self.changes})

    async def examine(self) -> list[Finding]:
        """Return all findings."""
        return await examine([self.target()])


def password(environment: DoctorEnvironment, value: str = PASSWORD) -> None:
    """Make the mailbox log in with a password."""
    environment.changes["credentials"] = Password(MAILBOX, value)


def of(findings: Sequence[Finding], step: Step) -> Finding:
    """Return the only finding of a step."""
    [finding] = [one for one in findings if one.step is step]
    return finding


def outcomes(findings: Sequence[Finding], outcome: StepOutcome) -> list[Step]:
    """Return the steps with this outcome."""
    return [finding.step for finding in findings if finding.outcome is outcome]


def report_text(findings: Sequence[Finding]) -> str:
    """Return everything that a user sees."""
    return str([asdict(finding) for finding in findings])


@contextlib.contextmanager
def black_hole(family: int, host: str, port: int = 0) -> Iterator[int]:
    """Open a port that never replies, because its backlog is full; yield its number."""
    with socket.socket(family) as full, contextlib.ExitStack() as stack:
        full.bind((host, port))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket(family))
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def hosts(*addresses: tuple[int, str]) -> Callable[..., list[Any]]:
    """Return a getaddrinfo that gives every name these addresses (family, address)."""

    def getaddrinfo(host: str, port: int, family: int = 0, type: int = 0, *_: int) -> list[Any]:
        kind = socket.SOCK_STREAM
        return [
            (its, kind, 6, "", (address, port) if its == socket.AF_INET else (address, port, 0, 0))
            for its, address in addresses
            if family in (its, socket.AF_UNSPEC)
        ]

    return getaddrinfo
