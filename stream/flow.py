"""The dataflow. Read this first: what comes in, what is kept for whom, what is committed.

    MQTT ── batches of messages ── decode ── chunks by bucket ── lanes (64 buckets) ── facts ──┬── sink: one transaction
                                                                       └── positions by site ──┤   an epoch
    database ── frames that were settled late ──┘ (a partition of the source as well)
    (a partition of the source is a clock) ────── keys of sites ── refill (64 keys of sites) ──┘

A stream of several processes is several such executions, each on its own span of buckets: what comes in for a bucket is
decided and committed by the process that reads it. Only a site may have shelves in the spans of two; the owner of the
site's own bucket decides, from the positions and events that the other committed.

Domain code (``decode``, ``bucket``, ``site`` and what they use) knows nothing of Bytewax; here it is only connected.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream, StatefulBatchLogic

from contracts import topics
from stream.ack_publisher import AckPublisher
from stream.bucket import Bucket
from stream.control import Control
from stream.control_data import Beginning
from stream.decode import Decoder
from stream.facts import (
    AnomalyRow,
    Chunk,
    EventRow,
    Facts,
    Item,
    LateBatch,
    Message,
    PositionRow,
    Tick,
)
from stream.fence import ALL, Fence, Span, bucket_of_site
from stream.late_source import LatePartition, LateReader
from stream.live_spikes import LiveSpikes
from stream.mqtt_session import MqttSession
from stream.mqtt_source import Drain, MqttSource, PartitionSpec
from stream.settings import BATCH_MESSAGES_MAX, StreamSettings
from stream.sink import EpochSink, SinkPartition
from stream.site import Fired, Sites, key_of, keys_with_policies
from stream.ticking import Elsewhere, Happened, Sales, Silence, heard
from stream.units import Units, is_outage, key_of_state
from stream.writer import Prepare, Writer

PLAIN: Final = "plain"
"""The one partition that reads ``raw``, whose topics have no bucket; the process of the first bucket has it."""
PLAIN_GATHER: Final = timedelta(milliseconds=200)


@dataclass(frozen=True)
class Process:
    """What one process of the stream is made of.

    ``span`` are its buckets, ``fence`` the claim on them. ``stopping`` is set by a signal. ``prepare`` makes room for
    readings of a range of time. ``spikes`` searches the readings of all buckets.
    """

    settings: StreamSettings
    span: Span
    fence: Fence
    control: Control
    beginning: Beginning
    acks: AckPublisher
    prepare: Prepare
    stopping: threading.Event
    spikes: LiveSpikes


def build_flow(process: Process) -> Dataflow:
    """The graph of one process."""
    flow = Dataflow("shelfpulse")

    items = op.input("mqtt", flow, _source(process))
    chunks = op.flat_map_batch(
        "decode",
        op.flat_map_batch("messages", items, _messages),
        Decoder(process.control, process.span.buckets, process.settings.retention),
    )
    lanes = op.merge("lanes in", chunks, op.flat_map_batch("silence", items, Silence(heard(process.span))))
    facts = op.stateful_batch("lanes", lanes, lambda learnt: _LanesLogic(process, learnt))

    moved: KeyedStream[PositionRow | str] = op.flat_map_batch(
        "positions", facts, lambda some: _positions(process.span, some)
    )
    woken: KeyedStream[PositionRow | str] = op.flat_map_batch("wake", items, lambda some: _wake(process, some))
    sites: KeyedStream[PositionRow | str] = op.merge("sites", moved, woken)
    proposals = op.stateful_batch("refill", sites, lambda fired: _RefillLogic(process, fired))

    happened: KeyedStream[Happened] = op.merge(
        "happened",
        op.flat_map_batch("units in", facts, lambda some: _happened(process.span, some)),
        op.flat_map_batch("sales", items, Sales(process.settings.dsn, process.span, process.stopping)),
        op.flat_map_batch("elsewhere", items, Elsewhere(process.settings.dsn, process.span, process.stopping)),
    )
    units = op.stateful_batch("units", happened, lambda _: _UnitsLogic(process))

    op.output("commit", op.merge("facts", facts, proposals, units), _sink(process))
    return flow


def partitions(span: Span) -> list[PartitionSpec]:
    """Source partitions of a process. Names and client ids are fixed, so that sessions follow them.

    Every process hears all presences, which are few, and the decoder keeps those of its own buckets.
    """
    up = (topics.UP_FILTER,) if span == ALL else tuple(topics.bucket_filter(bucket) for bucket in span.buckets)
    specs = [PartitionSpec(f"up-{span.name}", f"shelfpulse-stream-up-{span.name}", (*up, topics.PRESENCE_FILTER))]
    if heard(span) == ALL.buckets:
        filters = (topics.RAW_FILTER,)
        specs.append(PartitionSpec(PLAIN, "shelfpulse-stream-plain", filters, PLAIN_GATHER, BATCH_MESSAGES_MAX))
    return specs


# Bytewax does not tell a state which key it is for, so ours begin with their first value; until then they hold on to
# what the recovery store gave them.


class _LanesLogic(StatefulBatchLogic[Chunk, Facts, bytes | None]):
    """A bucket."""

    def __init__(self, process: Process, learnt: bytes | None) -> None:
        self._process = process
        self._learnt = learnt
        self._bucket: Bucket | None = None

    def on_batch(self, values: list[Chunk]) -> tuple[Iterable[Facts], bool]:
        if self._bucket is None:
            process, number = self._process, values[0].bucket
            self._bucket = Bucket(
                number, process.control, process.beginning, self._learnt, process.spikes,
                retention=process.settings.retention, is_ours=number in process.span.buckets,
            )  # fmt: skip
            self._learnt = None
        return [self._bucket.take(values, datetime.now(UTC))], StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes | None:
        return self._learnt if self._bucket is None else self._bucket.snapshot()


class _RefillLogic(StatefulBatchLogic[PositionRow | str, Facts, Fired | None]):
    """The sites of one key; values are positions, or the key itself when the clock wakes it."""

    def __init__(self, process: Process, fired: Fired | None) -> None:
        self._process = process
        self._fired = fired
        self._sites: Sites | None = None

    def on_batch(self, values: list[PositionRow | str]) -> tuple[Iterable[Facts], bool]:
        if self._sites is None:
            first = values[0]
            key = first if isinstance(first, str) else key_of(first.tenant, first.site)
            self._sites = Sites(key, self._process.control, self._process.beginning, self._fired)
        rows = [value for value in values if not isinstance(value, str)]
        facts = self._sites.take(rows, datetime.now(UTC))
        return ([] if facts is None else [facts]), StatefulBatchLogic.RETAIN

    def snapshot(self) -> Fired | None:
        return self._fired if self._sites is None else self._sites.snapshot()


class _UnitsLogic(StatefulBatchLogic[Happened, Facts, None]):
    """Ledgers of the sites of one key. What they learnt is in the database."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._units: Units | None = None

    def on_batch(self, values: list[Happened]) -> tuple[Iterable[Facts], bool]:
        first = values[0]
        if isinstance(first, Facts):
            return [each for each in values if isinstance(each, Facts)], StatefulBatchLogic.RETAIN
        if self._units is None:
            key = key_of(first.tenant, first.site)
            self._units = Units(key, self._process.control, self._process.beginning.learnt.get(key_of_state(key)))
        rows = [value for value in values if not isinstance(value, Facts)]
        facts = self._units.take(rows, datetime.now(UTC))
        return ([] if facts is None else [facts]), StatefulBatchLogic.RETAIN

    def snapshot(self) -> None:
        """Nothing: it is saved with an epoch."""


def _happened(span: Span, facts: Iterable[tuple[str, Facts]]) -> Iterable[tuple[str, Happened]]:
    """Events and outages at the sites that this process decides for."""
    rows: list[EventRow | AnomalyRow] = []
    for _, each in facts:
        for frame in each.frames:
            rows += frame.events
            rows += [anomaly for anomaly in frame.anomalies if is_outage(anomaly)]
    return [(key_of(row.tenant, row.site), row) for row in rows if bucket_of_site(row.tenant, row.site) in span.buckets]


def _messages(items: Iterable[Item]) -> Iterable[list[Message] | LateBatch]:
    return [item for item in items if not isinstance(item, Tick)]


def _wake(process: Process, items: Iterable[Item]) -> Iterable[tuple[str, PositionRow | str]]:
    """Keys of the sites that have something to decide, when a tick is among the items."""
    if not any(isinstance(item, Tick) for item in items):
        return []
    return [(key, key) for key in keys_with_policies(process.control.snapshot, process.span.buckets)]


def _positions(span: Span, facts: Iterable[tuple[str, Facts]]) -> Iterable[tuple[str, PositionRow | str]]:
    """What moved on shelves of the sites that this process decides for."""
    moved = [row for _, each in facts for frame in each.frames for row in frame.positions]
    return [
        (key_of(row.tenant, row.site), row) for row in moved if bucket_of_site(row.tenant, row.site) in span.buckets
    ]


def _source(process: Process) -> MqttSource:
    broker = process.settings.broker

    def connect(spec: PartitionSpec) -> MqttSession:
        return MqttSession(broker, spec.name, spec.client_id, spec.filters)

    def late() -> LatePartition:
        return LatePartition(LateReader(process.settings.dsn, process.span, process.stopping), process.stopping)

    return MqttSource(partitions(process.span), connect, Drain(process.stopping), late)


def _sink(process: Process) -> EpochSink:
    def build() -> SinkPartition:
        writer = Writer(process.settings.dsn, process.fence, process.prepare, process.control.check)
        return SinkPartition(writer, process.acks, process.stopping, process.settings.patience_s)

    return EpochSink(process.span, build)
