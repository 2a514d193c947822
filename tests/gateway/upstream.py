"""Replacement of Postern behind a gateway: counts the requests and answers only health checks."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Silent:
    """Server that reads a request up to the end of its head and closes. `heads` are those received."""

    def __init__(self, listening: socket.socket) -> None:
        self.heads: list[bytes] = []
        self.port: int = listening.getsockname()[1]
        self._listening = listening
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                with connection:
                    data = b""
                    while b"\r\n\r\n" not in data and (more := connection.recv(65_536)):
                        data += more
                    if b"/healthz" in data:
                        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    elif data:
                        self.heads.append(data)


@contextmanager
def silent() -> Iterator[Silent]:
    """Run one on its own port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Silent(listening)
        listening.shutdown(socket.SHUT_RDWR)


def closed_port() -> int:
    """Return a port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
