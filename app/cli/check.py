"""`postern check`: the doctor over the settings, for a person or for a program."""

import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import typer

from app import logs
from app.cli.check_view import FindingPrinter, finish
from app.cli.exit_codes import Exit, run
from app.cli.output import AsJson, console
from app.clock import Clock
from app.doctor import CheckTarget, Finding, Outcome, Step, examine
from app.mail.message.address import Address, AddressError, parse_address
from app.mailbox_factory import MailboxFactory
from app.settings import MailboxSettings, PoolSettings, Settings, SettingsError, load

_DNS = 53
_MOST = 20  # mailboxes named when one is not found


def check(
    mailbox: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Only this mailbox, not all.")] = None,
    send_test: Annotated[
        str | None,
        typer.Option("--send-test", metavar="ADDRESS", help="Send one message there from each mailbox, too."),
    ] = None,
    egress: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="The public IP address this machine is seen with.")
    ] = None,
    name_server: Annotated[
        str | None, typer.Option(metavar="ADDRESS[:PORT]", help="Ask this name server about the senders' domains.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find out what is wrong between here and a relayed message, and what mends it. No mail is sent unasked.

    Exit codes: 0 in order or to be mended, 1 something failed, 2 wrong usage, 78 a setting is wrong.
    """
    logs.configure(human=True, level="critical")  # all there is to say is in the findings
    to, seen_as, asked = _recipient(send_test), _address(egress), _server(name_server)
    try:
        settings = load(Settings)
    except SettingsError as error:
        finish([Finding(Step.SETTINGS, Outcome.FAILED, str(error))], Exit.CONFIG, as_json)
    chosen = _chosen(settings, mailbox)
    cases = list(_cases(settings, chosen, to, seen_as, asked))
    if as_json:
        findings = run(examine(cases))
    else:
        with console.status("checking"):
            findings = run(examine(cases, FindingPrinter({one.mailbox: pool.name for pool, one in chosen}).show))
    failed = any(finding.outcome is Outcome.FAILED for finding in findings)
    finish(findings, Exit.FAILED if failed else Exit.DONE, as_json, shown=True)


def _chosen(settings: Settings, wanted: str | None) -> list[tuple[PoolSettings, MailboxSettings]]:
    """All mailboxes with their pools, or the one that is wanted."""
    every = [(pool, one) for pool in settings.pools for one in pool.mailboxes]
    chosen = [(pool, one) for pool, one in every if wanted is None or one.mailbox == wanted.strip().lower()]
    if not chosen:
        names = [one.mailbox for _, one in every]
        more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
        known = f"There are: {', '.join(names[:_MOST])}{more}."
        raise typer.BadParameter(f"There is no mailbox {wanted} in the settings. {known}", param_hint="--mailbox")
    return chosen


def _cases(
    settings: Settings,
    chosen: list[tuple[PoolSettings, MailboxSettings]],
    to: Address | None,
    egress: str | None,
    server: tuple[str, int] | None,
) -> Iterator[CheckTarget]:
    wiring = MailboxFactory(Clock())
    for pool, one in chosen:
        case = wiring.check_target(pool, one, wiring.credentials(one), settings.max_message_bytes)
        yield replace(case, test_to=to, egress=egress, name_server=server)


# What was given on the command line.


def _recipient(text: str | None) -> Address | None:
    try:
        return None if text is None else parse_address(text)
    except AddressError as error:
        raise typer.BadParameter(str(error), param_hint="--send-test") from None


def _address(text: str | None) -> str | None:
    try:
        return None if text is None else str(ipaddress.ip_address(text))
    except ValueError:
        raise typer.BadParameter("Give an IP address such as 203.0.113.7.", param_hint="--egress") from None


def _server(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, colon, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "")
    try:
        address = str(ipaddress.ip_address(host.strip("[]")))
        return address, int(port) if colon else _DNS
    except ValueError:
        hint = "Give an IP address, with a port if it is not 53: 127.0.0.1:5353 or [::1]:5353."
        raise typer.BadParameter(hint, param_hint="--name-server") from None
