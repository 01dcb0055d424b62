"""Bytewax source over MQTT: a message is acknowledged to the broker only once what it brought is committed.

Bytewax calls, in this order and not otherwise (a test pins it): the source's ``snapshot`` of an epoch, the sinks'
``write_batch`` and ``snapshot`` (our transaction), then the source's ``next_batch`` of the next epoch. So whatever was
emitted before a ``snapshot`` is committed when ``next_batch`` is called again, and not a moment earlier.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from bytewax.inputs import AbortExecution, FixedPartitionedSource, StatefulSourcePartition

from stream import metrics
from stream.facts import Item, Tick
from stream.late_source import LatePartition
from stream.mqtt_session import MqttSession
from stream.settings import BATCH_MESSAGES_MAX, UNSEALED_BYTES_MAX, UNSEALED_MESSAGES_MAX

if TYPE_CHECKING:
    from stream.ingest_client import Parcel

log = structlog.get_logger()

IDLE: Final = timedelta(milliseconds=10)
GATHER: Final = timedelta(milliseconds=100)
"""Wait for more messages: a chunk costs its bucket as much as hundreds of readings, and an epoch lasts longer."""


CLOCK: Final = "clock"
LATE: Final = "late"
TICK: Final = timedelta(seconds=1)


class PartitionSpec(NamedTuple):
    """A partition: its name, its fixed client id, and the topics that only it reads.

    ``gather``: how long it waits for more messages after a batch that was smaller than ``full``; few readings a message
    want a longer wait.
    """

    name: str
    client_id: str
    filters: tuple[str, ...]
    gather: timedelta = GATHER
    full: int = 500


class Drain:
    """Ends the flow without a loss: every partition stops emitting, sees one more epoch committed, acknowledges it.

    ``stopping`` is set by a signal. The last partition to finish aborts the execution; an end of the input (EOF) would
    make Bytewax drop the epoch that is open.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self.stopping = stopping
        self._open: set[str] = set()

    def join(self, partition: str) -> None:
        """Count a partition of this process in."""
        self._open.add(partition)

    def leave(self, partition: str) -> None:
        """Count a partition out; raises AbortExecution after the last."""
        self._open.discard(partition)
        if not self._open:
            raise AbortExecution


class MqttPartition(StatefulSourcePartition[Item, None]):
    """One session; items are batches of messages in order of receipt."""

    def __init__(self, spec: PartitionSpec, session: MqttSession, drain: Drain) -> None:
        self._spec = spec
        self._name = name = spec.name
        self._session = session
        self._drain = drain
        self._emitted: list[Parcel] = []
        self._sealed: list[Parcel] | None = None
        self._unsealed_count = 0
        self._unsealed_bytes = 0
        self._sealed_after_stop = False
        self._closed = False
        self._awake = datetime.now(UTC)
        drain.join(name)
        session.start()

    def next_batch(self) -> list[Item]:
        """At most one batch; empty while too much is emitted and not yet committed. Never blocks."""
        self._acknowledge_sealed()
        if self._drain.stopping.is_set():
            if self._sealed_after_stop and not self._closed:
                self._closed = True
                self._session.close()
                self._drain.leave(self._name)
            self._awake = datetime.now(UTC) + IDLE
            return []
        room = min(BATCH_MESSAGES_MAX, UNSEALED_MESSAGES_MAX - self._unsealed_count)
        parcels = self._session.take(room) if self._unsealed_bytes < UNSEALED_BYTES_MAX else []
        messages = [message for parcel in parcels for message in parcel.messages]
        self._emitted += parcels
        self._unsealed_count += len(messages)
        self._unsealed_bytes += sum(len(message.payload) for message in messages)
        metrics.QUEUE.labels(self._name).set(self._session.waiting)
        metrics.UNSEALED.labels(self._name).set(self._unsealed_count)
        now = datetime.now(UTC)
        self._awake = now if len(messages) >= self._spec.full else now + self._spec.gather
        return [messages] if messages else []

    def next_awake(self) -> datetime:
        """When to look again."""
        return self._awake

    def snapshot(self) -> None:
        """Seal what was emitted. There is no position to keep: the broker has what is not acknowledged."""
        self._acknowledge_sealed()
        self._sealed = self._emitted
        self._emitted = []
        self._unsealed_count = 0
        self._unsealed_bytes = 0
        self._sealed_after_stop = self._drain.stopping.is_set()

    def _acknowledge_sealed(self) -> None:
        """Acknowledge the sealed epoch: being called again proves that it is committed."""
        if self._sealed:
            self._session.acknowledge(self._sealed)
        self._sealed = None


class ClockPartition(StatefulSourcePartition[Item, None]):
    """A tick a second. A partition and no source of its own: a second input step makes Bytewax 0.21.1 spin.

    Measured: with two input steps a third of a core is burnt while idle, and each is asked a tenth as often.
    """

    def __init__(self) -> None:
        self._awake = datetime.now(UTC)

    def next_batch(self) -> list[Item]:
        """One tick."""
        self._awake = datetime.now(UTC) + TICK
        return [Tick()]

    def next_awake(self) -> datetime:
        """When the next tick is due."""
        return self._awake

    def snapshot(self) -> None:
        """Time needs no keeping."""


class MqttSource(FixedPartitionedSource[Item, None]):
    """The partitions of this process, a clock, and what comes back from the database.

    ``connect`` makes the session of a partition, not yet started; ``late`` the partition of late frames.
    """

    def __init__(
        self,
        specs: list[PartitionSpec],
        connect: Callable[[PartitionSpec], MqttSession],
        drain: Drain,
        late: Callable[[], LatePartition],
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._connect = connect
        self._drain = drain
        self._late = late

    def list_parts(self) -> list[str]:
        """Names of the partitions of this process."""
        return [*self._specs, CLOCK, LATE]

    def build_part(
        self, step_id: str, for_part: str, resume_state: None
    ) -> MqttPartition | ClockPartition | LatePartition:
        """Open one partition. There is nothing to resume: the broker redelivers what was not acknowledged."""
        del step_id, resume_state
        if for_part == CLOCK:
            return ClockPartition()
        if for_part == LATE:
            return self._late()
        spec = self._specs[for_part]
        return MqttPartition(spec, self._connect(spec), self._drain)
