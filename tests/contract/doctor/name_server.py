"""A real name server on loopback, over UDP and TCP: it answers from a table; answers that do not fit go by TCP."""

import asyncio
from types import TracebackType
from typing import Self, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Zone = dict[tuple[str, str], list[str]]
_TTL = 300
_UDP = 512  # bytes without EDNS (RFC 1035 §4.2.1)


class NameServer:
    """Answers NXDOMAIN for every name that is not in the zone. It follows an alias of its own as resolvers do."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.silent: set[str] = set()  # names that get no answer at all
        self.broken: set[str] = set()  # names that get SERVFAIL
        self.asked: list[tuple[str, str, str]] = []  # how, name, type
        self.port = 0

    @property
    def address(self) -> tuple[str, int]:
        """Address and port on which it listens."""
        return "127.0.0.1", self.port

    def answer(self, wire: bytes, how: str) -> bytes | None:
        """Return the bytes of the answer; None for no answer."""
        query = dns.message.from_wire(wire)
        [question] = query.question
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((how, name, kind))
        if name in self.silent:
            return None
        response = dns.message.make_response(query, recursion_available=True)
        if name in self.broken:
            response.set_rcode(dns.rcode.SERVFAIL)
        else:
            self._fill(response, name, kind)
        return self._wire(response, _UDP if how == "udp" else 65535)

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        if not any(known == name or known.endswith(f".{name}") for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        for found in (kind, "CNAME"):
            if texts := self.zone.get((name, found)):
                response.answer.append(dns.rrset.from_text(f"{name}.", _TTL, "IN", found, *texts))
                if found == "CNAME" and kind != "CNAME":
                    self._fill(response, texts[0].rstrip("."), kind)
                return

    @staticmethod
    def _wire(response: dns.message.Message, most: int) -> bytes:
        try:
            return response.to_wire(max_size=most)
        except dns.exception.TooBig:
            response.answer.clear()
            response.flags |= dns.flags.TC
            return response.to_wire()

    async def __aenter__(self) -> Self:
        self._tcp = await asyncio.start_server(self._stream, "127.0.0.1", 0)
        self.port = self._tcp.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=self.address)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._udp.close()
        self._tcp.close()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        if (data := self.answer(await reader.readexactly(size), "tcp")) is not None:
            writer.write(len(data).to_bytes(2, "big") + data)
            await writer.drain()
            await reader.read()
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if (raw := self._server.answer(data, "udp")) is not None:
            self._transport.sendto(raw, addr)
