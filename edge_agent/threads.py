"""Threads that log like the one that made them."""

import contextvars
import threading
from collections.abc import Callable


def thread_in_context(run: Callable[[], None], name: str) -> threading.Thread:
    """A daemon thread, not started, that sees the caller's context variables: its log lines name the process."""
    return threading.Thread(target=contextvars.copy_context().run, args=(run,), name=name, daemon=True)
