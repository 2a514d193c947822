"""nginx and Caddy with the files of deploy/gateway, on loopback, in front of any port.

Of the files only addresses, ports, the certificates' paths and temporary folders are put in, and Caddy leaves the
machine's trust store alone.
"""

import atexit
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import trustme

DEPLOY = Path(__file__).parents[2] / "deploy" / "gateway"
KINDS = ("nginx", "caddy")
SECONDS = 30.0  # for one to listen, and to end


@dataclass(frozen=True, slots=True)
class Gateway:
    """Running gateway. `environment` makes callers' programs trust its certificate."""

    kind: str
    port: int
    ca_file: Path
    client_ca: trustme.CA
    log: Path
    pid: int

    @property
    def url(self) -> str:
        """URL at which it listens."""
        return f"https://localhost:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables for OpenSSL and httpx, requests, curl and Node."""
        names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
        return dict.fromkeys(names, str(self.ca_file))

    def until_logged(self, text: str) -> str:
        """Return its whole log once this is in it."""
        until = time.monotonic() + SECONDS
        files = [file for file in (self.log, self.log.with_name("access.log")) if file.exists()]
        while text not in (logged := "".join(file.read_text() for file in files)):
            assert time.monotonic() < until, logged
            time.sleep(0.02)
        return logged

    def trust(self) -> ssl.SSLContext:
        """SSL context of a caller."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def connect(self) -> ssl.SSLSocket:
        """Open a connection."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        return self.trust().wrap_socket(plain, server_hostname="localhost")


def requested() -> str | None:
    """Return the environment's GATEWAY, through which the API tests then run."""
    kind = os.environ.get("GATEWAY")
    if kind is not None and kind not in KINDS:
        raise ValueError(f"GATEWAY={kind}: give one of {', '.join(KINDS)}")
    return kind


def trust_for_all_clients() -> None:
    """Make every client of this process trust the gateways' authority."""
    with tempfile.NamedTemporaryFile(suffix=".pem", delete=False) as file:
        file.write(_certificates().servers.cert_pem.bytes())
    atexit.register(os.unlink, file.name)
    os.environ["SSL_CERT_FILE"] = file.name


def installed(kind: str) -> str | None:
    """Return the path of its program."""
    return shutil.which(kind, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


@contextmanager
def gateway(
    kind: str, *upstreams: int, parts: Sequence[str] = (), edited: tuple[str, str] = ("", "")
) -> Iterator[Gateway]:
    """One in front of these ports of 127.0.0.1. `parts` are names of its optional files, without their endings; in
    their texts the first string of `edited` is replaced by the second."""
    with tempfile.TemporaryDirectory(prefix="gateway-") as name:
        folder, port = Path(name), _free_port()
        certificates = _certificates()
        (folder / "clients.crt").write_bytes(certificates.clients.cert_pem.bytes())
        (folder / "ca.crt").write_bytes(certificates.servers.cert_pem.bytes())
        leaf = certificates.leaf
        (folder / "tls.crt").write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
        (folder / "tls.key").write_bytes(leaf.private_key_pem.bytes())
        command, environment = (_nginx if kind == "nginx" else _caddy)(folder, port, upstreams, parts)
        for part in (each for each in folder.glob("*/*") if each.suffix in (".conf", ".caddy")):
            part.write_text(part.read_text().replace(*edited))
        log = folder / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, env={**os.environ, **environment}, stdout=out, stderr=out, start_new_session=True, cwd=folder
            )
        try:
            _await_listening(process, port, log)
            yield Gateway(kind, port, folder / "ca.crt", certificates.clients, log, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _nginx(folder: Path, port: int, upstreams: Sequence[int], parts: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    text = (DEPLOY / "nginx" / "nginx.conf").read_text("utf-8")
    servers = " ".join(f"server 127.0.0.1:{each};" for each in upstreams)
    for given, here in (
        ("server postern:8025;", servers),
        ("listen 8443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("worker_processes auto;", "worker_processes 1;"),
        ("/tmp/nginx", f"{folder}/nginx"),
        ("/dev/stdout", f"{folder}/access.log"),
        ("/etc/nginx/postern.d/", f"{folder}/parts/"),
        ("/etc/nginx/tls/", f"{folder}/"),
    ):
        assert given in text, given
        text = text.replace(given, here)
    (folder / "nginx.conf").write_text(text)
    (folder / "parts").mkdir()
    for part in parts:
        optional = (DEPLOY / "nginx" / "optional" / f"{part}.conf").read_text("utf-8")
        (folder / "parts" / f"{part}.conf").write_text(optional.replace("/etc/nginx/tls/", f"{folder}/"))
    # a user of its own would not get into the folder; the file's readers give none either
    as_root = ["-g", "daemon off; user root;"] if os.geteuid() == 0 else ["-g", "daemon off;"]
    return [str(installed("nginx")), "-p", str(folder), "-e", "stderr", "-c", f"{folder}/nginx.conf", *as_root], {}


def _caddy(folder: Path, port: int, upstreams: Sequence[int], parts: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    for kind in ("tls", "site"):
        (folder / f"{kind}.d").mkdir()
    for part in ("tls" if "mtls" not in parts else "mtls", *(each for each in parts if each != "mtls")):
        kind = "tls" if part in ("tls", "mtls") else "site"
        text = (DEPLOY / "caddy" / "optional" / f"{part}.caddy").read_text("utf-8")
        (folder / f"{kind}.d" / f"{part}.caddy").write_text(text.replace("/etc/caddy/tls/", f"{folder}/"))
    environment = {
        "POSTERN_SITE": f"https://localhost:{port}, https://127.0.0.1:{port}",
        "POSTERN_SITE_PORT": str(port),
        "POSTERN_UPSTREAM": " ".join(f"127.0.0.1:{each}" for each in upstreams),
        "POSTERN_TLS_PARTS": f"{folder}/tls.d/*.caddy",
        "POSTERN_SITE_PARTS": f"{folder}/site.d/*.caddy",
        "XDG_DATA_HOME": f"{folder}/data",
        "XDG_CONFIG_HOME": f"{folder}/config",
    }
    text, given = (DEPLOY / "caddy" / "Caddyfile").read_text("utf-8"), "\tadmin off\n"
    assert given in text
    file = folder / "Caddyfile"
    # else it listens on every address, of which any can have the port in use, and installs an authority of its own, for
    # localhost, into the trust store of this machine at each start
    file.write_text(text.replace(given, f"{given}\tdefault_bind 127.0.0.1\n\tskip_install_trust\n"))
    return [str(installed("caddy")), "run", "--adapter", "caddyfile", "--config", str(file)], environment


@dataclass(frozen=True, slots=True)
class _Certificates:
    servers: trustme.CA
    clients: trustme.CA
    leaf: trustme.LeafCert


@cache
def _certificates() -> _Certificates:
    """Create the certificates once for a run, because keys take time."""
    servers = trustme.CA(organization_name="Tests of the gateways")
    clients = trustme.CA(organization_name="Callers of the gateways")
    return _Certificates(servers, clients, servers.issue_cert("localhost", "127.0.0.1"))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _await_listening(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"the gateway does not listen:\n{log.read_text()}")
