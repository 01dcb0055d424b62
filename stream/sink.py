"""Bytewax sink: one partition a process, one transaction an epoch, committed in ``snapshot``.

The epoch is tried again while the database is away, nothing acknowledged. A frame that the database refuses is found by
halving the epoch, and goes to quarantine, so that it can never stop the stream.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from contracts.frames import Reason
from contracts.topics import GatewayAddress, Lane
from stream import metrics
from stream.ack_publisher import AckPublisher
from stream.endings import DatabaseAwayError, StoppedError
from stream.epoch import Epoch, Part, halves, size_of
from stream.facts import Facts, Fault, Origin, Outcome, QuarantineRow, Settled, no_columns
from stream.fence import Span
from stream.rows import FenceLostError
from stream.settings import RETRY_FIRST_S, RETRY_LONGEST_S
from stream.writer import RefusedError, UnavailableError, Writer

log = structlog.get_logger()

LAG_FRAMES_MAX: Final = 2_000
"""Frames of an epoch whose lag is observed; of more, evenly spaced ones."""


class SinkPartition(StatefulSinkPartition[Facts, None]):
    """Gathers the facts of an epoch and commits them."""

    def __init__(
        self,
        writer: Writer,
        acks: AckPublisher,
        stopping: threading.Event,
        patience_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._acks = acks
        self._stopping = stopping
        self._patience_s = patience_s
        self._clock = clock
        self._facts: list[Facts] = []
        self._parts: list[Part] = []
        self._committed_at = 0.0

    def write_batch(self, values: list[Facts]) -> None:
        """Take facts in, and send their readings ahead; nothing is committed yet."""
        self._facts += values
        parts = [Part(each.columns, each.frames) for each in values if each.frames]
        self._parts += parts
        self._writer.send(parts)

    def snapshot(self) -> None:
        """Commit the epoch, then tell the gateways.

        Raises FenceLostError, StoppedError or DatabaseAwayError: the execution ends with the epoch unacknowledged.
        """
        facts, self._facts = self._facts, []
        parts, self._parts = self._parts, []
        epochs: list[Epoch] = []
        if parts:
            started = time.perf_counter()
            epochs = self._commit(parts)
            metrics.COMMIT_S.observe(time.perf_counter() - started)
            if self._committed_at:
                metrics.EPOCH_S.observe(started - self._committed_at)
            self._committed_at = started
        if self._acks.is_fenced:
            msg = "another process took our buckets"
            raise FenceLostError(msg)
        again = [each for each in facts if each.again or each.unknown]
        if again and (parts or self._is_ours()):
            self._tell_again(again)
        # After what is told again, which may be of an incarnation that this epoch closed.
        for epoch in epochs:
            self._count(epoch)
            self._tell(epoch)
        for each in facts:
            metrics.DUPLICATES.inc(each.duplicates)
            metrics.AHEAD.inc(each.ahead)
            for reason, count in each.strays.items():
                metrics.QUARANTINED.labels(reason).inc(count)

    def _tell_again(self, facts: list[Facts]) -> None:
        for each in facts:
            for address, watermarks in each.again.items():
                self._acks.tell(address, watermarks)
            for address, incarnations in each.unknown.items():
                self._acks.ask(address, incarnations)

    def _is_ours(self) -> bool:
        """Whether the watermarks that we remember may be told again; False while the database is away.

        Who took our buckets moves them on: all that comes is ahead of us then, so no commit would tell us that we are
        fenced off. Raises FenceLostError.
        """
        try:
            self._writer.check_fence()
        except UnavailableError as error:
            log.warning("ack_withheld", error=str(error).splitlines()[0] if str(error) else "")
            return False
        except FenceLostError as error:
            log.error("fence_lost", error=str(error))  # noqa: TRY400 - an outcome, not a fault of ours
            raise
        return True

    def _commit(self, parts: list[Part]) -> list[Epoch]:
        """Write the parts, in one transaction unless the database refuses some of them; returns what was written."""
        try:
            return [self._write_patiently(parts)]
        except RefusedError as error:
            if size_of(parts) == 1:
                return [self._write_patiently([_condemn(parts, str(error))])]
            first, second = halves(parts)
            return self._commit(first) + self._commit(second)

    def _write_patiently(self, parts: list[Part]) -> Epoch:
        deadline = time.monotonic() + self._patience_s
        pause_s = RETRY_FIRST_S
        while True:
            try:
                return self._writer.write(parts)
            except UnavailableError as error:
                metrics.RETRIES.inc()
                log.warning("epoch_delayed", error=str(error).splitlines()[0] if str(error) else "")
                if time.monotonic() > deadline:
                    msg = f"away for {self._patience_s:.0f} s: {error}"
                    raise DatabaseAwayError(msg) from error
                if self._stopping.wait(pause_s * random.uniform(0.5, 1.0)):  # noqa: S311 - jitter, not a secret
                    raise StoppedError from error
                pause_s = min(pause_s * 2, RETRY_LONGEST_S)
            except FenceLostError as error:
                log.error("fence_lost", error=str(error))  # noqa: TRY400 - an outcome, not a fault of ours
                raise

    def _tell(self, epoch: Epoch) -> None:
        told: dict[GatewayAddress, dict[Lane, tuple[str, int]]] = {}
        for move in epoch.moves:
            told.setdefault(GatewayAddress(move.tenant, move.site, move.gateway), {})[move.lane] = (
                move.ep,
                move.to_seq,
            )
        for address, watermarks in told.items():
            self._acks.tell(address, watermarks)

    def _count(self, epoch: Epoch) -> None:
        metrics.READINGS.inc(len(epoch.columns))
        for move in epoch.moves:
            metrics.FRAMES.labels("quarantined").inc(move.quarantined)
            metrics.FRAMES.labels("committed").inc(move.frames - move.quarantined)
            metrics.GAP_FRAMES.inc(move.gap_frames)
        now_ms = self._clock() * 1000
        live = [frame.live_t0_ms for frame in epoch.frames if frame.live_t0_ms is not None]
        for t0_ms in live[:: len(live) // LAG_FRAMES_MAX + 1]:
            metrics.LAG_S.observe(max((now_ms - t0_ms) / 1000, 0.0))
        for frame in epoch.frames:
            if frame.quarantine is not None and frame.lane is not None:
                metrics.QUARANTINED.labels(frame.quarantine.fault.reason).inc()
            if frame.held_boot:
                metrics.LATE.labels("held").inc()
            if frame.outcome is not None:
                metrics.LATE.labels(_late_label(frame.outcome)).inc()
            for anomaly in frame.anomalies:
                if anomaly.end is not None and anomaly.end > anomaly.detected:
                    continue
                metrics.ANOMALIES.labels(anomaly.kind).inc()
            metrics.PROPOSALS.inc(len(frame.proposals))


class EpochSink(FixedPartitionedSink[Facts, None]):
    """The sink of a process that owns ``span``."""

    def __init__(self, span: Span, build: Callable[[], SinkPartition]) -> None:
        self._span = span
        self._build = build

    def list_parts(self) -> list[str]:
        """The one partition: one transaction an epoch."""
        return [self._span.name]

    def part_fn(self, item_key: str) -> int:
        """Everything goes there."""
        del item_key
        return 0

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> SinkPartition:
        """Open the partition. There is nothing to resume: the database says where it stands."""
        del step_id, for_part, resume_state
        return self._build()


def _late_label(outcome: Outcome) -> str:
    if outcome.late.origin is Origin.UNSYNCED:
        return "released" if outcome.fault is None else "quarantined"
    return "retried" if outcome.fault is None else "held_back"


def _condemn(parts: list[Part], refusal: str) -> Part:
    """The one frame at fault, settled in quarantine instead of stored."""
    (frame,) = [frame for part in parts for frame in part.frames]
    message = frame.message if frame.bundle is None else frame.bundle.messages[0]
    if message is None:
        # Findings of our own that the database refuses are a defect of ours; the stream must live all the same.
        log.error("facts_refused", error=refusal, frame=repr(frame)[:500])
        return Part(no_columns(), [Settled(None)])
    lane = frame.lane
    fault = Fault(Reason.REFUSED_BY_DATABASE, refusal)
    emptied = replace(
        frame, lo=0, hi=0, events=(), positions=(), anomalies=(), proposals=(), answers=(), sighting=None, once=False,
        held_boot="", bundle=None,
    )  # fmt: skip
    if frame.outcome is not None:
        emptied.outcome = Outcome(frame.outcome.late, fault)
    else:
        emptied.quarantine = QuarantineRow(
            frame.tenant, frame.gateway, "" if lane is None else lane.lane, frame.ep,
            None if lane is None else frame.to_seq, message, fault,
        )  # fmt: skip
    return Part(no_columns(), [emptied])
