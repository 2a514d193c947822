"""The database's own clock, which all replicas share: epoch seconds as SQL. For who owns what, and for nothing else."""

from typing import Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class Moment(FunctionElement[float]):
    """Now; in PostgreSQL when the transaction began, so that a lease never ends later than it should."""

    type = Double()
    inherit_cache = True
    name = "moment"


@compiles(Moment, "sqlite")
def _of_this_machine(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(Moment, "postgresql")
def _of_the_server(*_: Any, **__: Any) -> str:
    return "extract(epoch FROM now())::double precision"
