"""Readers of the message trace and of non-delivery reports, killed again and again, in virtual time."""

from pathlib import Path

import pytest

from app.store import Store
from tests.clock import autojump
from tests.contract.message_trace import test_reader, test_report_reader
from tests.contract.message_trace.lab import lab, running
from tests.contract.message_trace.test_reader import WAIT, delivered
from tests.contract.store.build import RELAYED
from tests.crash.conftest import Scale
from tests.waiting import until

EMAILS = 4  # of each kill


def kills(scale: Scale) -> int:
    """Return the number of kills."""
    return max(12, scale.kills // 20)


@pytest.mark.timeout(500)
@autojump
async def test_every_delivery_is_reported_once(tmp_path: Path, scale: Scale) -> None:
    """By readers of two replicas, within the budget."""
    async with lab(tmp_path) as here:
        second = await Store.open(f"sqlite:///{tmp_path}/lab.db")
        try:
            emails = []
            for kill in range(kills(scale)):
                new = await here.relay(EMAILS, RELAYED)
                for n, (_, message_id) in enumerate(new):
                    here.report(message_id, f"u{n}@example.net")
                emails += new
                async with running(here.reader(second if kill % 2 else here.store)):
                    seen = len(here.trace.requests)
                    await until(lambda: len(here.trace.requests) > seen + kill % 2 or None, 10 * WAIT)  # noqa: B023
            async with running(here.reader()), running(here.reader(second)):
                await until(lambda: delivered(here, [id for id, _ in emails]), 10 * WAIT)
            await test_reader.check(here, emails)
        finally:
            await second.close()


@pytest.mark.timeout(500)
@autojump
async def test_every_bounce_is_reported_once(tmp_path: Path, scale: Scale) -> None:
    """By readers of two replicas, also when Graph has lost their state."""
    async with lab(tmp_path) as here:
        second = await Store.open(f"sqlite:///{tmp_path}/lab.db")
        try:
            emails = []
            for kill in range(kills(scale)):
                new = await here.relay(EMAILS, RELAYED)
                for n, (_, message_id) in enumerate(new):
                    here.bounce(message_id, f"u{n}@example.net")
                emails += new
                if kill % 10 == 9:
                    here.trace.mailboxes.expire()
                async with running(here.report_reader(second if kill % 2 else here.store)):
                    seen = len(here.trace.mailboxes.requests)
                    await until(lambda: len(here.trace.mailboxes.requests) > seen + kill % 6 or None, 10 * WAIT)  # noqa: B023
            async with running(here.report_reader()), running(here.report_reader(second)):
                await until(lambda: delivered(here, [id for id, _ in emails]), 10 * WAIT)
            await test_report_reader.check(here, emails)
        finally:
            await second.close()
