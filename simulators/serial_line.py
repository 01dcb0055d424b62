"""Two pseudo terminals joined like the ends of a serial cable, with noise in the middle.

For peers that want a serial port of their own; our slaves sit on a pseudo terminal directly (``slave_server``).
"""

import os
import selectors
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Final

from simulators.noise import QUIET, disturb

_CHUNK_BYTES: Final = 4_096
_JOIN_S: Final = 5.0


class SerialLine:
    """``near`` and ``far`` are the paths of its ends. ``noise`` disturbs what passes, in both directions."""

    def __init__(self, seed: int = 0) -> None:
        self.noise = QUIET
        self.disturbed = 0
        """Messages that arrived other than they were sent."""
        self._rng = Random(seed)
        self._ends = [os.openpty(), os.openpty()]
        for pair in self._ends:
            for fd in pair:
                tty.setraw(fd)
        self.near, self.far = (os.ttyname(outer) for _, outer in self._ends)
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="serial-line", daemon=True)

    def start(self) -> None:
        """Begin to carry bytes."""
        self._thread.start()

    def stop(self) -> None:
        """Cut the cable."""
        os.write(self._wake_write, b"x")
        self._thread.join(_JOIN_S)
        for fd in (*self._ends[0], *self._ends[1], self._wake_read, self._wake_write):
            os.close(fd)

    def _run(self) -> None:
        (first, _), (second, _) = self._ends
        with selectors.DefaultSelector() as selector:
            selector.register(first, selectors.EVENT_READ, second)
            selector.register(second, selectors.EVENT_READ, first)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fd == self._wake_read:
                        return
                    data = os.read(key.fd, _CHUNK_BYTES)
                    arrives = disturb(data, self.noise, self._rng)
                    self.disturbed += arrives is not data
                    with suppress(OSError):
                        os.write(key.data, arrives)


@contextmanager
def running_line() -> Iterator[SerialLine]:
    """A line that carries bytes until the block ends."""
    line = SerialLine()
    line.start()
    try:
        yield line
    finally:
        line.stop()
