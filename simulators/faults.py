"""A small TCP proxy that makes a network bad: latency, a thin line, one-way blackholes, slices, cuts.

It stands between two real sockets. Its faults may be changed at any time from any thread, and hold for bytes that
arrive from then on; a blackhole holds bytes back (as a network that loses packets does) and lets them go when lifted.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Final

from contracts.errors import UserError

CHUNK_BYTES: Final = 16 * 1024
CHUNKS_MAX: Final = 256
"""Chunks that wait for their time in one direction; then the sender feels back pressure."""
LOOK_S: Final = 0.02
"""How soon a lifted blackhole is noticed."""
SLICE_PAUSE_S: Final = 0.005
THIN_LINE_STEP_S: Final = 0.05
"""A thin line carries bytes in steps of this, rather than a chunk and then a long silence."""
START_TIMEOUT_S: Final = 5.0


class Direction(StrEnum):
    """Which way bytes flow."""

    UP = "up"
    """From who connected to the target."""
    DOWN = "down"


class FaultProxy:
    """Listens on a loopback port, a free one unless given, and forwards to the target through the faults.

    ``latency_s`` delays every chunk; ``bytes_per_s`` is the width of each direction of each connection (0: any);
    ``slice_bytes`` breaks chunks up (0: not); nothing passes in the directions of ``blackholes``, so with both the
    peers have a half-open connection; while ``refusing``, new connections are closed at once; ``cut`` resets all.
    ``connections`` counts those accepted.
    """

    def __init__(self, target_host: str, target_port: int, *, port: int = 0) -> None:
        self.latency_s = 0.0
        self.bytes_per_s = 0
        self.slice_bytes = 0
        self.blackholes: frozenset[Direction] = frozenset()
        self.refusing = False
        self.connections = 0
        self.port = port
        self._target = (target_host, target_port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut everything and listen no more."""
        assert self._server is not None
        self._server.close()
        self._cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset all connections; from any thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in self._writers:
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refusing:
            writer.transport.abort()
            return
        try:
            target_reader, target_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, target_writer}
        self._writers |= ends
        pumps = [
            asyncio.create_task(self._pump(reader, target_writer, Direction.UP)),
            asyncio.create_task(self._pump(target_reader, writer, Direction.DOWN)),
        ]
        self._tasks.update(pumps)
        try:
            # One side gone: so is the other.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._tasks.difference_update(pumps)
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_MAX)
        read = asyncio.create_task(self._read(reader, chunks))
        try:
            with suppress(ConnectionError):
                await self._write(chunks, writer, direction)
        finally:
            read.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await read

    async def _read(self, reader: asyncio.StreamReader, chunks: asyncio.Queue[tuple[float, bytes]]) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            try:
                data = await reader.read(CHUNK_BYTES)
            except ConnectionError:
                data = b""
            await chunks.put((clock() + self.latency_s, data))
            if not data:
                return

    async def _write(
        self, chunks: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, direction: Direction
    ) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due_s, data = await chunks.get()
            await asyncio.sleep(max(0.0, due_s - clock()))
            while direction in self.blackholes:  # noqa: ASYNC110 - set from other threads, where an Event cannot be
                await asyncio.sleep(LOOK_S)
            if not data:
                return
            await self._write_chunk(data, writer)

    async def _write_chunk(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        at = 0
        while at < len(data):
            piece = data[at : at + self._piece_bytes(len(data))]
            writer.write(piece)
            await writer.drain()
            at += len(piece)
            if self.bytes_per_s:
                await asyncio.sleep(len(piece) / self.bytes_per_s)
            elif at < len(data):
                # Lets the piece leave, and be read, by itself.
                await asyncio.sleep(SLICE_PAUSE_S)

    def _piece_bytes(self, whole: int) -> int:
        """What goes out at once: a slice, or what a thin line carries in a moment."""
        sizes = [whole]
        if self.slice_bytes:
            sizes.append(self.slice_bytes)
        if self.bytes_per_s:
            sizes.append(max(1, round(self.bytes_per_s * THIN_LINE_STEP_S)))
        return min(sizes)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST rather than FIN, as a lost peer is noticed."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def running_proxy(target_host: str, target_port: int, *, port: int = 0) -> Iterator[FaultProxy]:
    """A proxy on a thread of its own, for code that is not asynchronous. Raises UserError when the port is taken."""
    proxy = FaultProxy(target_host, target_port, port=port)
    started = threading.Event()
    failures: list[OSError] = []
    loop = asyncio.new_event_loop()

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(proxy.start())
        except OSError as error:
            failures.append(error)
            return
        finally:
            started.set()
        loop.run_forever()
        loop.run_until_complete(proxy.stop())
        loop.close()

    thread = threading.Thread(target=run, name="fault-proxy", daemon=True)
    thread.start()
    assert started.wait(START_TIMEOUT_S), "the proxy did not start"
    if failures:
        thread.join()
        loop.close()
        msg = f"cannot listen on 127.0.0.1:{port}: {failures[0].strerror}"
        raise UserError(msg) from failures[0]
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_TIMEOUT_S)
