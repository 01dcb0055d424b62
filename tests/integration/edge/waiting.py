"""Waiting on a condition with a deadline."""

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], deadline_s: float = 20.0) -> None:
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, "the condition did not come true in time"
        time.sleep(0.01)
