"""Postfix as a relayhost: an instance with its own configuration, queue and account of processes. Loopback only.

Everything it sends goes to the sink: the relayhost is 127.0.0.1, DNS is off, and its client binds to 127.0.0.1, from
where no other machine can be reached.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.bench.processes import UnavailableError, free_port
from tests.bench.setup import CONNECTIONS, MAILBOX, PASSWORD, Stage

NEED: Final = "apt-get install postfix libsasl2-modules"
_MASTER = """
{accept}  inet  n - n - 100 smtpd
{hold}    inet  n - n - 100 smtpd -o smtpd_sender_restrictions=check_sender_access,static:HOLD
cleanup   unix  n - n - 0   cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - -   trivial-rewrite
bounce    unix  - - n - 0   bounce
defer     unix  - - n - 0   bounce
trace     unix  - - n - 0   bounce
smtp      unix  - - n - -   smtp
error     unix  - - n - -   error
retry     unix  - - n - -   error
anvil     unix  - - n - 1   anvil
scache    unix  - - n - 1   scache
tlsmgr    unix  - - n 1000? 1 tlsmgr
tlsproxy  unix  - - n - 0   tlsproxy
proxymap  unix  - - n - -   proxymap
showq     unix  n - n - -   showq
flush     unix  n - n 1000? 0 flush
postlog   unix-dgram n - n - 1 postlogd
"""
TUNING: Final[Mapping[str, str]] = {  # what is not a necessity of the test bed; shown in deploy/BENCHMARKS.md
    "smtp_destination_concurrency_limit": str(CONNECTIONS),
    "initial_destination_concurrency": str(CONNECTIONS),
    "smtp_connection_cache_on_demand": "yes",
    "smtp_connection_reuse_time_limit": "3600s",
    "smtp_connection_cache_time_limit": "30s",
    "smtp_tls_connection_reuse": "yes",
    "qmgr_message_active_limit": "20000",
    "in_flow_delay": "0",
    "hash_queue_depth": "1",
    "default_process_limit": "200",
    "smtpd_client_connection_count_limit": "0",
    "smtpd_client_connection_rate_limit": "0",
    "smtpd_peername_lookup": "no",
    "message_size_limit": "157286400",
}


class Postfix:
    """A running instance. `accept` and `hold` are ports; what is given to `hold` is sent after `release`."""

    def __init__(self, stage: Stage) -> None:
        """Start it; it ends with the stage. Raises UnavailableError."""
        if not (program := shutil.which("postfix") or shutil.which("/usr/sbin/postfix")):
            raise UnavailableError(f"there is no postfix: {NEED}")
        if os.geteuid():
            raise UnavailableError("postfix is started by root only")
        self._folder = Path(tempfile.mkdtemp(prefix="postern-bench-", dir="/var/tmp"))  # its account can reach that
        stage.defer(shutil.rmtree, self._folder, ignore_errors=True)
        self.accept, self.hold = free_port(), free_port()
        self._configure(stage)
        command = [program, "-c", str(self._folder / "etc"), "start-fg"]
        stage.defer(self.run, "postfix", "stop")
        self._process = stage.start("postfix", command, {"MAIL_CONFIG": str(self._folder / "etc")})
        self._process.listens(self.accept)

    def _configure(self, stage: Stage) -> None:
        self._folder.chmod(0o755)
        for name in ("etc", "queue", "data"):
            (self._folder / name).mkdir()
        shutil.chown(self._folder / "data", "postfix")
        etc = self._folder / "etc"
        relayhost = f"[localhost]:{stage.sink.port}"
        shutil.copy(stage.ca_file, etc / "ca.pem")
        (etc / "login").write_text(f"{relayhost} {MAILBOX}:{PASSWORD}\n")
        facts = {
            "compatibility_level": "3.6",
            "queue_directory": str(self._folder / "queue"),
            "data_directory": str(self._folder / "data"),
            "maillog_file": str(self._folder / "log"),
            "maillog_file_prefixes": "/var",
            "syslog_name": "postern-bench",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "myhostname": "bench.example",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "local_transport": "error:nothing is local",
            "alias_maps": "",
            "local_recipient_maps": "",
            "relayhost": relayhost,
            "smtp_bind_address": "127.0.0.1",
            "smtp_dns_support_level": "disabled",
            "smtp_host_lookup": "native",
            "smtp_tls_security_level": "secure",
            "smtp_tls_secure_cert_match": "localhost",
            "smtp_tls_CAfile": str(etc / "ca.pem"),
            "smtp_sasl_auth_enable": "yes",
            "smtp_sasl_password_maps": f"texthash:{etc / 'login'}",
            "smtp_sasl_security_options": "noanonymous",
            **TUNING,
        }
        (etc / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in facts.items()))
        (etc / "master.cf").write_text(_MASTER.format(accept=f"127.0.0.1:{self.accept}", hold=f"127.0.0.1:{self.hold}"))

    def run(self, program: str, *arguments: str) -> None:
        """Run one of its commands and wait for it."""
        command = [f"/usr/sbin/{program}", "-c", str(self._folder / "etc"), *arguments]
        subprocess.run(command, capture_output=True, check=False, timeout=30)

    def release(self) -> None:
        """Let everything that is held be sent now."""
        self.run("postsuper", "-H", "ALL")
        self.run("postqueue", "-f")

    def cpu(self) -> float:
        """Seconds of user and system time of all its processes, with those that have ended."""
        return self._process.cpu(descendants=True)
