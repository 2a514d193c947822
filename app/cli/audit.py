"""Command `postern audit`: list changes by people and API keys, and refused sends."""

from typing import Annotated, Any

import typer

from app.api.api_keys.view import audit_entry
from app.cli.output.terminal import print_rows
from app.cli.output.text import AsJson
from app.cli.store_access import with_store
from app.store.keys.audit import AuditRecord

_COLUMNS = ("created_at", "actor", "action", "subject", "times", "details")


def audit(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of entries, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Run `postern audit`."""
    rows = [_row(record, as_json) for record in with_store(lambda store: store.audit(None, limit))]
    print_rows(rows, _COLUMNS, as_json, none="There are no audit entries yet.")


def _row(record: AuditRecord, as_json: bool) -> dict[str, Any]:
    shown = audit_entry(record)
    details = ", ".join(f"{name}: {value}" for name, value in shown["details"].items())
    return {**shown} if as_json else {**shown, "details": details}
