"""Command `postern serve`: run Postern."""

from typing import Annotated

import typer

from app import main
from app.cli.exit_codes import report_errors, run
from app.settings import Settings, load


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (POSTERN_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (POSTERN_PORT).")] = None,
    role: Annotated[
        str | None, typer.Option(help="`api` accepts emails, `relay` sends them, `all` does both (POSTERN_ROLE).")
    ] = None,
) -> None:
    """Run `postern serve`."""
    options = {"host": host, "port": port, "role": role}
    given = {name: value for name, value in options.items() if value is not None}
    with report_errors():
        settings = load(Settings, **given)
    main.configure_logs(settings)
    run(main.serve(settings))
