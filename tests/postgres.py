"""PostgreSQL server of the tests: created for them, on loopback, empty, and removed after them."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

_ADMIN = "postgres"
_ACCOUNTS = ("postgres", "nobody")  # what the server runs as when root runs the tests: it refuses root
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",  # what is tested is what is said to the server; a commit that is durable is its own affair
    "max_connections": "60",
    "timezone": "UTC",
}


def programs() -> Path | None:
    """Return the folder with `initdb` and `pg_ctl`: POSTGRES_BIN, or Debian's newest, or that of the PATH."""
    if named := os.environ.get("POSTGRES_BIN"):
        return Path(named)
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found = versions[-1] if versions else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class Server:
    """Running server, made by `running`."""

    def __init__(self, programs: Path, folder: Path, options: Mapping[str, str]) -> None:
        self.programs = programs
        self._folder = folder
        self._options = {**_OPTIONS, **options}
        self._port = _free_port()
        self._serial = count(1)
        self._account = _account()
        if self._account is not None:
            shutil.chown(folder, self._account)
        self._run("initdb", "--auth=trust", f"--username={_ADMIN}", "--encoding=UTF8", "--locale=C", "--no-sync")

    def start(self) -> None:
        """Start on the same port as before."""
        options = {**self._options, "port": str(self._port)}
        words = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        self._run("pg_ctl", "start", "--wait", "--silent", f"--log={self._folder}/log", "-o", words)

    def stop(self) -> None:
        """Stop at once, as in a crash of the machine: clients lose their connections."""
        self._run("pg_ctl", "stop", "--mode=immediate", "--silent")

    def create_database(self, place: Path | None = None, template: str | None = None) -> str:
        """Return the URL of a new database: empty, or a copy of `template`, the URL of one without connections.

        Its files are in `place`, an empty folder, if given.
        """
        number = next(self._serial)
        name, more = f"postern{number}", [] if template is None else [f"--template={template.rpartition('/')[2]}"]
        if place is not None:
            if self._account is not None:
                shutil.chown(place, self._account)
            make = f"CREATE TABLESPACE place{number} LOCATION '{place}'"
            self._run("psql", "--quiet", f"--dbname={self.url(_ADMIN)}", f"--command={make}")
            more += [f"--tablespace=place{number}"]
        self._run("createdb", *more, f"--maintenance-db={self.url(_ADMIN)}", name)
        return self.url(name)

    def url(self, database: str) -> str:
        """Return the URL of a database of this name."""
        return f"postgresql://{_ADMIN}@127.0.0.1:{self._port}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        environment = {**os.environ, "PGDATA": f"{self._folder}/data", "LC_ALL": "C"}
        as_account: dict[str, Any] = {"user": self._account, "group": self._account} if self._account else {}
        subprocess.run(
            [self.programs / program, *arguments],
            check=True,
            cwd=self._folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            **as_account,
        )


@contextmanager
def running(programs: Path, options: Mapping[str, str] = MappingProxyType({})) -> Iterator[Server]:
    """Run a server with these additional settings until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="postern-postgres-", ignore_cleanup_errors=True) as folder:
        server = Server(programs, Path(folder), options)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def another(server: Server) -> AbstractContextManager[Server]:
    """Return a second one of the same programs, for tests that stop or break it."""
    return running(server.programs)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _account() -> str | None:
    """Account of the server; None: this user's."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _ACCOUNTS if name in known)
