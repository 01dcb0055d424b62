"""Ctrl-C, SIGTERM and a closed terminal: once asks to stop, twice stops at once."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Handlers of these signals while it is entered. ``hurry`` is called at the second one, from the handler."""

    def __init__(self, hurry: Callable[[], None]) -> None:
        self._hurry = hurry
        self._asked = threading.Event()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Take the signals over."""
        self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *_exception: object) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def asked(self) -> bool:
        """Whether somebody wants us to stop."""
        return self._asked.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for that at most ``timeout_s``."""
        return self._asked.wait(timeout_s)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked.is_set():
            self._hurry()
        self._asked.set()
