"""Waiting for a condition, with a deadline instead of a sleep."""

import time
from collections.abc import Callable
from typing import Final

_PAUSE_S: Final = 0.02
_PAUSE_MAX_S: Final = 0.25


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether ``condition`` came true within ``timeout_s``; asked ever less often, from 20 ms to 250 ms apart."""
    end = time.monotonic() + timeout_s
    pause_s = _PAUSE_S
    while not condition():
        left_s = end - time.monotonic()
        if left_s <= 0:
            return False
        time.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.5, _PAUSE_MAX_S)
    return True
