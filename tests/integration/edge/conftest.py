"""Fixtures of the gateway's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.outbox.file import Outbox

ROOMY = 1 << 30


@pytest.fixture
def open_outbox(tmp_path: Path) -> Iterator[Callable[..., Outbox]]:
    opened: list[Outbox] = []

    def make(*, machine: str = "machine-1", max_bytes: int = ROOMY) -> Outbox:
        outbox = Outbox(tmp_path / "outbox.db", machine=machine, max_bytes=max_bytes)
        outbox.open()
        opened.append(outbox)
        return outbox

    yield make
    for outbox in opened:
        outbox.close()
