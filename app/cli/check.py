"""`postern check`: the doctor over the settings, for a person or for a program."""

import ipaddress
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from app import logs
from app.cli.exits import Exit, run
from app.cli.output import AsJson, console
from app.doctor import Case, Finding, Outcome, Step, examine
from app.mail.address import Address, AddressError, parse_address
from app.main import credentials, upstream
from app.settings import Settings, SettingsError, load

_DNS = 53
_MARKS = {
    Outcome.OK: ("✓", "green"),
    Outcome.WARN: ("!", "yellow"),
    Outcome.FAILED: ("✗", "bold red"),
    Outcome.SKIPPED: ("-", "dim"),
}
_COUNTED = {
    Outcome.FAILED: "failed",
    Outcome.WARN: "to be mended, though mail goes",
    Outcome.OK: "in order",
    Outcome.SKIPPED: "not tried",
}


def check(
    send_test: Annotated[
        str | None, typer.Option("--send-test", metavar="ADDRESS", help="Send one message there, too.")
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

    Exit codes: 0 in order or to be mended, 1 something failed, 78 a setting is wrong.
    """
    logs.configure(human=True, level="critical")  # all there is to say is in the findings
    to, seen_as, asked = _recipient(send_test), _address(egress), _server(name_server)
    try:
        settings = load(Settings)
        case = _case(settings, to, seen_as, asked)
    except SettingsError as error:
        _end([Finding(Step.SETTINGS, Outcome.FAILED, str(error))], Exit.CONFIG, as_json)
    if as_json:
        findings = run(examine(case))
    else:
        with console.status("checking"):
            findings = run(examine(case, _print))
    failed = any(finding.outcome is Outcome.FAILED for finding in findings)
    _end(findings, Exit.FAILED if failed else Exit.DONE, as_json, printed=True)


def _case(settings: Settings, to: Address | None, egress: str | None, server: tuple[str, int] | None) -> Case:
    return Case(
        mailbox=settings.mailbox,
        upstream=upstream(settings),
        credentials=credentials(settings),
        senders=settings.sender_patterns,
        sender=parse_address(settings.default_sender or settings.mailbox),
        max_message_bytes=settings.max_message_bytes,
        test_to=to,
        egress=egress,
        name_server=server,
    )


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


# What is shown.


def _print(finding: Finding) -> None:
    """One line, dimmed facts, and what mends it."""
    mark, style = _MARKS[finding.outcome]
    quiet = "dim" if finding.outcome is Outcome.SKIPPED else ""
    console.print(
        Text.assemble((f" {mark} ", style), (f"{finding.step:<13} ", quiet or "bold"), (finding.summary, quiet)),
        soft_wrap=True,
    )
    for name, value in finding.facts.items():
        console.print(Text(f"   {name}: {value}", "dim"), soft_wrap=True)
    if finding.fix:
        console.print(Text.assemble(("   → ", style), finding.fix), soft_wrap=True)


def _end(findings: Sequence[Finding], code: Exit, as_json: bool, *, printed: bool = False) -> None:
    """The last words, and the exit code."""
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
        raise typer.Exit(code)
    if not printed:
        for finding in findings:
            _print(finding)
    counts = Counter(finding.outcome for finding in findings)
    said = ", ".join(f"{counts[outcome]} {words}" for outcome, words in _COUNTED.items() if counts[outcome])
    console.print(Text(f"\n{said}", "bold red" if code else "bold green"))
    raise typer.Exit(code)
