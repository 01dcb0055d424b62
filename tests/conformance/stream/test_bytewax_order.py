"""What we rely on in Bytewax, and its documentation does not promise: when the source may acknowledge."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import AbortExecution, FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

EPOCHS = 5


class _Partition(StatefulSourcePartition[tuple[str, int], int]):
    def __init__(self, calls: list[str]) -> None:
        self._calls = calls
        self._sealed = 0
        self._emitted = 0

    def next_batch(self) -> list[tuple[str, int]]:
        self._calls.append("next")
        if self._sealed == EPOCHS:
            raise AbortExecution
        self._emitted += 1
        return [(str(self._emitted % 3), self._emitted)]

    def next_awake(self) -> datetime:
        return datetime.now(UTC) + timedelta(milliseconds=2)

    def snapshot(self) -> int:
        self._calls.append("seal")
        self._sealed += 1
        return self._emitted


class _Source(FixedPartitionedSource[tuple[str, int], int]):
    def __init__(self, calls: list[str]) -> None:
        self._calls = calls

    def list_parts(self) -> list[str]:
        return ["only"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> _Partition:
        del step_id, for_part, resume_state
        return _Partition(self._calls)


class _Keep(StatefulBatchLogic[int, int, int]):
    def on_batch(self, values: list[int]) -> tuple[list[int], bool]:
        return values, StatefulBatchLogic.RETAIN

    def snapshot(self) -> int:
        return 0


class _Sinks(FixedPartitionedSink[int, None]):
    def __init__(self, calls: list[str]) -> None:
        self._calls = calls

    def list_parts(self) -> list[str]:
        return ["only"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_SinkPartition":
        del step_id, for_part, resume_state
        return _SinkPartition(self._calls)


class _SinkPartition(StatefulSinkPartition[int, None]):
    def __init__(self, calls: list[str]) -> None:
        self._calls = calls

    def write_batch(self, values: list[int]) -> None:
        self._calls.append("write")
        assert values

    def snapshot(self) -> None:
        self._calls.append("commit")


@pytest.fixture(params=[1, 50], ids=["epochs of one batch", "epochs of many batches"])
def calls(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Calls of source and sink over some epochs, through a stateful step and with a recovery store as in our flow."""
    called: list[str] = []
    flow = Dataflow("order")
    stream: Any = op.input("source", flow, _Source(called))
    op.output("sink", op.stateful_batch("keep", stream, lambda _: _Keep()), _Sinks(called))
    init_db_dir(tmp_path, 1)  # type: ignore[no-untyped-call] # Bytewax does not annotate it
    recovery = RecoveryConfig(tmp_path)  # type: ignore[no-untyped-call] # nor this
    interval = timedelta(milliseconds=request.param)
    cli_main(flow, epoch_interval=interval, recovery_config=recovery)  # type: ignore[no-untyped-call]
    if called[-1] == "seal":
        # An epoch that was over when the source aborted is still sealed; nothing was emitted in it.
        called.pop()
    return called


def assert_committed_in_between(calls: list[str]) -> None:
    epochs = " ".join(calls).split("seal")
    assert len(epochs) == EPOCHS + 1
    assert "commit" not in epochs[0]
    for epoch in epochs[1:]:
        called = epoch.split()
        assert "commit" in called
        assert called.index("commit") < called.index("next")
        assert called.count("commit") == 1


def assert_written_before_committed(calls: list[str]) -> None:
    pending = 0
    for call in calls:
        if call == "next":
            pending += 1
        elif call == "write":
            pending -= 1
        elif call == "commit":
            # The last call of next_batch aborts; all others emitted one item, and all of them were written.
            assert pending == 0


def test_an_epoch_is_committed_between_its_seal_and_the_next_batch(calls: list[str]) -> None:
    assert_committed_in_between(calls)


def test_every_write_of_an_epoch_comes_before_its_commit(calls: list[str]) -> None:
    assert_written_before_committed(calls)


@pytest.mark.parametrize(
    ("epoch", "check"),
    [
        ("next write seal next commit", assert_committed_in_between),
        ("next write commit seal", assert_committed_in_between),
        ("next write seal", assert_committed_in_between),
        ("next write seal commit commit", assert_committed_in_between),
        ("next seal commit write", assert_written_before_committed),
    ],
)
def test_another_order_would_be_seen(epoch: str, check: Callable[[list[str]], None]) -> None:
    """What a release of Bytewax with another order would show to the tests above."""
    with pytest.raises(AssertionError):
        check([*(epoch.split() * EPOCHS), "next"])


def test_the_order_that_we_rely_on_passes() -> None:
    calls = [*(["next", "write", "seal", "commit"] * EPOCHS), "next"]
    assert_committed_in_between(calls)
    assert_written_before_committed(calls)


def test_an_abort_from_next_batch_ends_without_an_error_and_drops_nothing_sealed(calls: list[str]) -> None:
    assert calls[-1] == "next"
    assert calls.count("commit") == EPOCHS
