"""Command `postern check`: check the configured mailboxes, their connection to Office 365 and the reads of Microsoft
Graph, once or until no step fails, and print the findings.
"""

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, NoReturn

import typer

from app import logs
from app.cli.exit_codes import Exit, run
from app.cli.output.findings import ChangePrinter, FindingPrinter, show_finding, show_problems
from app.cli.output.terminal import console
from app.cli.output.text import AsJson, print_json
from app.clock import Clock
from app.doctor.doctor import examine
from app.doctor.finding import Finding, Step, StepOutcome
from app.doctor.graph_access import GraphTarget, examine_graph
from app.doctor.target import CheckTarget
from app.doctor.watch import MAX_INTERVAL, MIN_INTERVAL, watch
from app.mail.message.address import Address, AddressError, parse_address
from app.mailbox_factory import MailboxFactory
from app.operator_errors import ConfigurationError
from app.settings import MailboxSettings, PoolSettings, Settings, SettingsError, load
from app.store import Store, StoreError
from app.store.migrations import revisions

_DNS_PORT = 53
_MAX_LISTED = 20  # mailboxes in an error message

SendTest = Annotated[
    str | None,
    typer.Option(
        "--send-test", metavar="ADDRESS", help="Also send one test message to this address from each mailbox."
    ),
]
Watch = Annotated[
    bool, typer.Option("--watch", help="Repeat the check until no step fails, and print only what changed.")
]


def check(
    mailbox: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Check only this mailbox.")] = None,
    send_test: SendTest = None,
    egress: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Public IP address from which Office 365 sees this machine.")
    ] = None,
    name_server: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS[:PORT]", help="Name server for the DNS records of the senders' domains."),
    ] = None,
    watch_: Watch = False,
    interval: Annotated[
        int, typer.Option(metavar="SECONDS", min=MIN_INTERVAL, max=MAX_INTERVAL, help="Time between checks of --watch.")
    ] = 60,
    as_json: AsJson = False,
) -> None:
    """Run `postern check`."""
    logs.configure(human=True, level="critical")  # the findings contain all messages
    if watch_ and send_test:
        raise typer.BadParameter("A repeated check sends no mail. Send the test without --watch.", param_hint="--watch")
    recipient, egress_address, server = _recipient(send_test), _address(egress), _server(name_server)
    try:
        settings = load(Settings)
    except SettingsError as error:
        finish([Finding(Step.SETTINGS, StepOutcome.FAILED, str(error))], Exit.CONFIG, as_json)
    selected = _selected(settings, mailbox)
    targets = list(_targets(settings, selected, recipient, egress_address, server))
    graph = [target for target in _graph_targets(settings) if not mailbox or target.about == selected[0][1].mailbox]
    if watch_:
        run(_watch(targets, graph, interval, as_json=as_json))
        raise typer.Exit(Exit.DONE)
    if as_json:
        findings = run(_examine(targets, graph, lambda _: None))
    else:
        findings = _show(targets, graph, {entry.mailbox: pool.name for pool, entry in selected})
    failed = any(finding.outcome is StepOutcome.FAILED for finding in findings)
    finish(findings, Exit.FAILED if failed else Exit.DONE, as_json, shown=True)


def _show(targets: Sequence[CheckTarget], graph: Sequence[GraphTarget], pools: Mapping[str, str]) -> list[Finding]:
    """Examine and print each finding at once. `pools` has the pool of each mailbox."""
    with console.status("checking"):
        return run(_examine(targets, graph, FindingPrinter(pools).show))


async def _examine(
    targets: Sequence[CheckTarget], graph: Sequence[GraphTarget], report: Callable[[Finding], None]
) -> list[Finding]:
    findings = await examine(targets, report) if targets else []
    return [*findings, *await examine_graph(graph, report)]


def _graph_targets(settings: Settings) -> list[GraphTarget]:
    """Return what Postern reads in Microsoft Graph, with the progress of the readers if there is a database."""
    if not (settings.traced or settings.reported):
        return []
    from app.main.graph_clients import graph_targets  # noqa: PLC0415 - it imports MSAL and httpx

    return [*graph_targets(settings, Clock(), run(_read_until(settings.store_url)))]


async def _read_until(url: str) -> dict[str, float]:
    """Return until when each tenant has been read; nothing without a database of this version. It is not migrated."""
    try:
        current, newest = revisions(url)
        if current != newest:
            return {}
        store = await Store.open(url)
        try:
            return await store.traces.read_until()
        finally:
            await store.close()
    except (ConfigurationError, StoreError):  # `postern check` is not about the database
        return {}


async def _watch(
    targets: Sequence[CheckTarget], graph: Sequence[GraphTarget], interval: float, *, as_json: bool
) -> None:
    """Examine until no step fails, and print the findings that changed."""

    async def examine_some(some: Sequence[CheckTarget]) -> list[Finding]:
        return await _examine(some, graph, lambda _: None)

    await watch(examine_some, targets, ChangePrinter(as_json=as_json).show, Clock(), interval)


def _selected(settings: Settings, mailbox: str | None) -> list[tuple[PoolSettings, MailboxSettings]]:
    """Return the mailboxes with their pools: all, or only `mailbox`."""
    every = [(pool, entry) for pool in settings.pools for entry in pool.mailboxes]
    selected = [(pool, entry) for pool, entry in every if mailbox is None or entry.mailbox == mailbox.strip().lower()]
    if not selected:
        names = [entry.mailbox for _, entry in every]
        more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
        known = f"The settings have: {', '.join(names[:_MAX_LISTED])}{more}."
        raise typer.BadParameter(f"There is no mailbox {mailbox} in the settings. {known}", param_hint="--mailbox")
    return selected


def _targets(
    settings: Settings,
    selected: list[tuple[PoolSettings, MailboxSettings]],
    recipient: Address | None,
    egress: str | None,
    server: tuple[str, int] | None,
) -> Iterator[CheckTarget]:
    factory = MailboxFactory(Clock())
    for pool, entry in selected:
        target = factory.check_target(pool, entry, factory.credentials(entry), settings.max_message_bytes)
        yield replace(target, test_to=recipient, egress=egress, name_server=server)


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
        return address, int(port) if colon else _DNS_PORT
    except ValueError:
        hint = "Give an IP address, with a port if it is not 53: 127.0.0.1:5353 or [::1]:5353."
        raise typer.BadParameter(hint, param_hint="--name-server") from None


def finish(findings: Sequence[Finding], code: Exit, as_json: bool, *, shown: bool = False) -> NoReturn:
    """Print the findings that are not `shown` yet and the problems, or all findings as JSON, and end the command."""
    if as_json:
        print_json([finding.as_json() for finding in findings])
        raise typer.Exit(code)
    if not shown:
        for finding in findings:
            show_finding(finding)
    show_problems(findings, failed=bool(code))
    raise typer.Exit(code)
