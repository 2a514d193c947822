"""Results as tables, and bounds for any size."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from tests.scale.probe import LEASES, LOOKS, OWNERSHIP, spent
from tests.scale.shape import A_MINUTE
from tests.scale.steps import ENOUGH, Step
from tests.scale.virtual import Outcome, Phase

SHARE = 0.95  # of N x 30 a minute, under full load
STATEMENTS = 35.0  # a message, under full load: two more than it takes would show here
OF_A_REPLICA = 2.0  # statements a second for the ownership of its mailboxes, however many
_WIDTH = 110


def show(outcome: Outcome, rungs: Sequence[Step]) -> None:
    """Print the results."""
    console = Console(highlight=False)
    console.width = max(console.width, _WIDTH)
    console.print(_of_phases(outcome))
    shape = outcome.shape
    console.print(
        f"{shape.mailboxes} mailboxes in {shape.pools} pools; {shape.replicas} replicas with {outcome.fewest} to"
        f" {outcome.most} of them each; at most {outcome.busiest} messages of a mailbox in any minute;"
        f" {outcome.accepted} accepted, {outcome.taken} relayed\n"
    )
    if rungs:
        console.print(_of_rungs(rungs))


def broken(outcome: Outcome) -> list[str]:
    """Return the exceeded bounds, each as a line."""
    full = outcome.phases[0]
    replicas = outcome.shape.replicas
    ownership = max(phase.reading[OWNERSHIP] / phase.seconds / replicas for phase in outcome.phases)
    statements = full.reading["statements"] / max(1, full.messages)
    bounds = (
        (full.share >= SHARE, f"{full.share:.1%} of the limit was reached, not {SHARE:.0%}"),
        (outcome.busiest <= A_MINUTE, f"a mailbox sent {outcome.busiest} messages in a minute, not {A_MINUTE}"),
        (outcome.accepted == outcome.taken, f"{outcome.accepted} were accepted, {outcome.taken} relayed"),
        (outcome.most - outcome.fewest <= 1, f"replicas have {outcome.fewest} to {outcome.most} mailboxes"),
        (statements <= STATEMENTS, f"a message costs {statements:.1f} statements, not {STATEMENTS:.0f}"),
        (ownership <= OF_A_REPLICA, f"ownership costs a replica {ownership:.1f} statements a second"),
    )
    return [what for holds, what in bounds if not holds]


def _of_phases(outcome: Outcome) -> Table:
    table = _table("In virtual time", ["", *(f"{phase.name}" for phase in outcome.phases)])
    a_second = {
        "transactions": "transactions /s",
        "statements": "statements /s",
        OWNERSHIP: "of these for whose a mailbox is",
        LOOKS: "of these to poll for work and requests",
        LEASES: "of these for leases of messages",
        "rows": "rows written /s",
        "syncs": "syncs of the log /s",
    }
    table.add_row("messages /s", *(f"{phase.messages / phase.seconds:,.0f}" for phase in outcome.phases))
    table.add_row("share of N x 30 a minute", *(f"{phase.share:.1%}" for phase in outcome.phases))
    for name, words in a_second.items():
        table.add_row(words, *(f"{phase.reading[name] / phase.seconds:,.0f}" for phase in outcome.phases))
    table.add_row(
        "of a processor for whose a mailbox is",
        *(f"{phase.reading[spent(OWNERSHIP)] / 1000 / phase.seconds:.1%}" for phase in outcome.phases),
    )
    table.add_row(
        "processors of the server", *(f"{phase.reading['cpu'] / phase.seconds:.2f}" for phase in outcome.phases)
    )
    for name, words in {"statements": "statements a message", "transactions": "transactions a message"}.items():
        table.add_row(words, *(_each(phase, name, 1.0, "{:.1f}") for phase in outcome.phases))
    table.add_row("database a message, KiB", *(_each(phase, "size", 1024.0, "{:.1f}") for phase in outcome.phases))
    table.add_row("log a message, KiB", *(_each(phase, "wal_bytes", 1024.0, "{:.1f}") for phase in outcome.phases))
    table.add_row(
        "CPU of the server a message, ms", *(_each(phase, "cpu", 0.001, "{:.2f}") for phase in outcome.phases)
    )
    return table


def _each(phase: Phase, name: str, unit: float, form: str) -> str:
    return form.format(phase.reading[name] / unit / phase.messages) if phase.messages else ""


def _of_rungs(rungs: Sequence[Step]) -> Table:
    words = ["mailboxes", "replicas", "may relay /s", "share", "transactions /s", "server", "replicas' CPU", "others"]
    table = _table(f"In true time, on {rungs[0].processors} processors (server, replicas and others: of these)", words)
    for rung in rungs:
        table.add_row(
            f"{rung.mailboxes}",
            f"{rung.replicas}",
            f"{rung.a_second:.0f}",
            f"{rung.share:.1%}" if rung.share >= ENOUGH else f"[red]{rung.share:.1%}[/]",
            f"{rung.transactions:,.0f}",
            *(f"{cpu:.2f}" for cpu in (rung.server, rung.crowd, rung.others)),
        )
    last = rungs[-1]
    waits = ", ".join(f"{wait} {count:.1f}" for wait, count in last.waits.items())
    table.caption = (
        f"at {last.mailboxes} mailboxes the connections that have work wait for (how many at a moment): {waits}"
    )
    table.caption_justify = "left"
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    return table
