"""Slaves on a wire: Modbus TCP on a loopback port, Modbus RTU on a pseudo terminal.

In a test, in its own process:

    with running_tcp([ShelfSlave(1, [3520.0, 0.0])]) as slaves:     # or running_rtu
        slaves.unit(1).is_dead = True        # or delay_s = 0.9, or exception = Code.BUSY
        slaves.noise = Noise(flip=0.2)       # of all answers on this wire

As a process of its own, ``shelfpulse simulate slaves``, told by lines on its standard input.
"""

import asyncio
import os
import struct
import threading
import tty
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from random import Random
from typing import Final

from simulators.noise import QUIET, disturb
from simulators.slaves import Code, Slave

START_TIMEOUT_S: Final = 5.0
FRAME_PAUSE_S: Final = 0.05
"""Silence after which an unfinished RTU request is forgotten; the standard's 3.5 characters are too short for a
simulator that shares its processor."""
_CHUNK_BYTES: Final = 4_096
_MBAP: Final = struct.Struct(">HHHB")
_MBAP_LENGTH: Final = struct.Struct(">H")
_SHORT_REQUEST_BYTES: Final = 8
_LONG_REQUEST_BYTES: Final = 9
_LONG_FUNCTIONS: Final = frozenset({15, 16})
_BYTE_COUNT: Final = 6


def crc16(data: bytes) -> bytes:
    """Modbus' checksum, low byte first (Modbus over serial line 1.02, 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc.to_bytes(2, "little")


class Slaves:
    """What sits on one wire. ``noise`` disturbs answers; ``disturbed`` counts those that it changed."""

    def __init__(self, slaves: Sequence[Slave], seed: int = 0) -> None:
        self._units = {slave.unit: slave for slave in slaves}
        self._rng = Random(seed)
        self.noise = QUIET
        self.disturbed = 0
        self.port = 0
        """Of Modbus TCP."""
        self.device = ""
        """Of Modbus RTU: the path that the master opens."""

    def unit(self, number: int) -> Slave:
        """The slave with this unit number."""
        return self._units[number]

    @property
    def units(self) -> list[Slave]:
        """All slaves."""
        return list(self._units.values())

    @property
    def requests(self) -> int:
        """What all were asked."""
        return sum(slave.requests for slave in self._units.values())

    def find(self, number: int) -> Slave | None:
        """The slave with this unit number, if there is one."""
        return self._units.get(number)

    def disturb(self, data: bytes) -> bytes:
        """What arrives of ``data``."""
        arrives = disturb(data, self.noise, self._rng)
        self.disturbed += arrives is not data
        return arrives


class TcpConnection(asyncio.Protocol):
    """One master. Answers may overtake each other, as they do behind a gateway."""

    def __init__(self, slaves: Slaves) -> None:
        self._slaves = slaves
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer all requests that have arrived whole."""
        buffer = self._buffer + data
        while len(buffer) > _MBAP.size:
            tid, _, length, unit = _MBAP.unpack_from(buffer)
            end = _MBAP.size - 1 + length
            if len(buffer) < end:
                break
            self._answer(tid, unit, buffer[_MBAP.size : end])
            buffer = buffer[end:]
        self._buffer = buffer

    def _answer(self, tid: int, unit: int, pdu: bytes) -> None:
        slave = self._slaves.find(unit)
        if slave is None:
            self._send(tid, unit, bytes((pdu[0] | 0x80, Code.GATEWAY_NO_RESPONSE)))
        elif not slave.is_dead:
            if slave.delay_s:
                loop = asyncio.get_running_loop()
                loop.call_later(slave.delay_s, lambda: self._send(tid, unit, slave.answer(pdu)))
            else:
                self._send(tid, unit, slave.answer(pdu))

    def _send(self, tid: int, unit: int, pdu: bytes) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(self._slaves.disturb(_MBAP.pack(tid, 0, len(pdu) + 1, unit) + pdu))


class RtuLine:
    """The slaves' end of a pseudo terminal. A request with a bad checksum, or for nobody here, is not answered."""

    def __init__(self, slaves: Slaves) -> None:
        self._slaves = slaves
        self._buffer = b""
        self._fd, self._other = os.openpty()
        # The other end stays open here too: without it, reading fails whenever the master closes the port.
        tty.setraw(self._fd)
        tty.setraw(self._other)
        os.set_blocking(self._fd, False)
        self._loop = asyncio.get_running_loop()
        self._forget: asyncio.TimerHandle | None = None
        slaves.device = os.ttyname(self._other)
        self._loop.add_reader(self._fd, self._receive)

    def close(self) -> None:
        """Take the line away."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        os.close(self._other)

    def _receive(self) -> None:
        with suppress(BlockingIOError):
            self._buffer += os.read(self._fd, _CHUNK_BYTES)
        if self._forget is not None:
            self._forget.cancel()
        size = _request_bytes(self._buffer)
        if size and len(self._buffer) >= size:
            frame, self._buffer = self._buffer[:size], b""
            if crc16(frame[:-2]) == frame[-2:]:
                self._answer(frame[0], frame[1:-2])
        else:
            self._forget = self._loop.call_later(FRAME_PAUSE_S, self._clear)

    def _clear(self) -> None:
        self._buffer = b""

    def _answer(self, unit: int, pdu: bytes) -> None:
        slave = self._slaves.find(unit)
        if slave is not None and not slave.is_dead:
            self._loop.call_later(slave.delay_s, lambda: self._send(unit, slave.answer(pdu)))

    def _send(self, unit: int, pdu: bytes) -> None:
        frame = bytes((unit,)) + pdu
        with suppress(OSError):  # closed meanwhile, or nobody reads and the buffer is full: lost, as on a line
            os.write(self._fd, self._slaves.disturb(frame + crc16(frame)))


async def listen_tcp(slaves: Slaves, port: int = 0) -> asyncio.Server:
    """Serve on a loopback port (0: a free one); the port is told in ``slaves.port``."""
    server = await asyncio.get_running_loop().create_server(lambda: TcpConnection(slaves), "127.0.0.1", port)
    slaves.port = server.sockets[0].getsockname()[1]
    return server


@contextmanager
def running_tcp(units: Sequence[Slave]) -> Iterator[Slaves]:
    """Slaves behind one Modbus TCP port, on a thread of their own."""
    slaves = Slaves(units)

    async def serve(ended: asyncio.Event) -> None:
        server = await listen_tcp(slaves)
        started.set()
        await ended.wait()
        server.close()

    started = threading.Event()
    with _on_a_thread(serve, started):
        yield slaves


@contextmanager
def running_rtu(units: Sequence[Slave]) -> Iterator[Slaves]:
    """Slaves on one serial line, on a thread of their own."""
    slaves = Slaves(units)

    async def serve(ended: asyncio.Event) -> None:
        line = RtuLine(slaves)
        started.set()
        await ended.wait()
        line.close()

    started = threading.Event()
    with _on_a_thread(serve, started):
        yield slaves


def _request_bytes(buffer: bytes) -> int:
    """Length of the RTU request that begins so; 0 while it cannot be known."""
    if len(buffer) <= _BYTE_COUNT:
        return 0
    if buffer[1] in _LONG_FUNCTIONS:
        return _LONG_REQUEST_BYTES + buffer[_BYTE_COUNT]
    return _SHORT_REQUEST_BYTES


@contextmanager
def _on_a_thread(serve: Callable[[asyncio.Event], Awaitable[None]], started: threading.Event) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve(ended))
        loop.close()

    thread = threading.Thread(target=run, name="slaves", daemon=True)
    thread.start()
    assert started.wait(START_TIMEOUT_S), "the slaves did not start"
    try:
        yield
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(START_TIMEOUT_S)
