"""The work of one bucket: sequence check, repair of clocks, positions, detection. Facts out, no I/O.

Bytewax keeps one ``Bucket`` for each of the 64 buckets. Where its lanes and shelves stand always comes from the
database at the start, which may be ahead of the recovery store; only what the detectors learnt comes from there.
"""

from datetime import UTC, datetime
from typing import Final, Protocol

import numpy as np

from contracts.facts import AnomalyKind
from contracts.frames import Event, GapReason, Reason
from contracts.ids import bucket_of, derived_id
from contracts.topics import GatewayAddress, Lane
from stream import alarms, clean, position, sequence
from stream.anomaly import Spike, SpikeFinder
from stream.clocks import Anchors
from stream.control import Beginning, Snapshot
from stream.facts import (
    AnomalyRow,
    AnswerRow,
    Arrival,
    Chunk,
    Columns,
    EventRow,
    Facts,
    Fault,
    LaneId,
    LateFrame,
    Origin,
    Outcome,
    PlainRun,
    PositionRow,
    QuarantineRow,
    Settled,
    Sighting,
    Stray,
    join_columns,
)
from stream.sequence import LaneState, Lost, Verdict
from stream.settings import CLOCK_AHEAD, RETENTION

STRAYS_KEPT_MAX: Final = 20
"""Samples kept of one gateway's messages without a place, for each reason and hour."""
STRAYS_AN_HOUR_MAX: Final = 2_000
"""Samples of a bucket in an hour, however many gateways, reasons and made up names they are of."""
PAYLOADS_AN_HOUR_MAX: Final = 64 * 1024 * 1024
"""Bytes of refused frames of one gateway that are kept in an hour: a frame that is settled needs its row, no more."""
LIVE_LANES: Final = frozenset({Lane.TEL, Lane.EVT})


class Names(Protocol):
    """What a bucket asks of the control data."""

    @property
    def snapshot(self) -> Snapshot:
        """The newest control data."""

    def name_of(self, series_id: int) -> tuple[str, str, str]:
        """Tenant, gateway and channel of a series."""


class Bucket:
    """State of one bucket. ``learnt`` is what ``snapshot`` returned before, or None."""

    def __init__(self, number: int, names: Names, beginning: Beginning, learnt: bytes | None) -> None:
        self._names = names
        self._lanes: dict[LaneId, LaneState] = {
            lane: LaneState(state.ep, state.seq, dict(state.closed))
            for lane, state in beginning.lanes.items()
            if bucket_of(lane.gateway) == number
        }
        self._on_shelf: dict[tuple[str, str, str], int] = {
            place: stored.on_shelf for place, stored in beginning.positions.items() if bucket_of(place[1]) == number
        }
        self._anchors = Anchors(
            {gateway: boots for gateway, boots in beginning.anchors.items() if bucket_of(gateway[1]) == number}
        )
        self._spikes = SpikeFinder() if learnt is None else SpikeFinder.restore(learnt)
        self._hour = 0
        self._strays: dict[tuple[str, str, Reason], int] = {}
        self._strays_kept = 0
        self._payload_bytes: dict[tuple[str, str], int] = {}

    def snapshot(self) -> bytes:
        """What the detectors learnt."""
        return self._spikes.snapshot()

    def take(self, chunks: list[Chunk], now: datetime) -> Facts:
        """Facts of the chunks, in order of receipt. ``now`` judges repaired times and stamps unsynced events."""
        facts = Facts(join_columns([]))
        parts: list[Columns] = []
        for chunk in chunks:
            offset = sum(len(part) for part in parts)
            parts.append(self._take_chunk(chunk, facts, offset, now))
        facts.columns = join_columns(parts)
        self._detect(facts)
        return facts

    # ------------------------------------------------------------- one chunk

    def _take_chunk(self, chunk: Chunk, facts: Facts, offset: int, now: datetime) -> Columns:
        """Judge every arrival; returns the readings of those that count, ``offset`` is where they will stand."""
        for sighting in chunk.sightings:
            self._take_presence(sighting, facts)
        for stray in chunk.strays:
            self._take_stray(stray, facts, now)
        slices: list[tuple[int, int]] = []
        kept = 0
        for arrival in chunk.arrivals:
            settled = self._settle(arrival, chunk.columns, facts, now)
            if settled is None:
                continue
            if arrival.hi > arrival.lo and arrival.fault is None and not settled.held_boot:
                slices.append((arrival.lo, arrival.hi))
                settled.lo = offset + kept
                kept += arrival.hi - arrival.lo
                settled.hi = offset + kept
            facts.frames.append(settled)
        for run in chunk.plain:
            size = run.hi - run.lo
            slices.append((run.lo, run.hi))
            facts.frames.append(_plain(run, offset + kept))
            kept += size
        if kept == len(chunk.columns):
            return chunk.columns
        mask = np.zeros(len(chunk.columns), np.bool_)
        for lo, hi in slices:
            mask[lo:hi] = True
        return chunk.columns.take(mask)

    def _settle(self, arrival: Arrival, columns: Columns, facts: Facts, now: datetime) -> Settled | None:
        """The frame as it counts, or None when it is a duplicate, ahead, or of somebody else."""
        address = arrival.address
        if arrival.late is not None:
            return self._settle_late(arrival, arrival.late, columns, now)
        assert arrival.lane is not None
        lane = LaneId(address.tenant, address.gateway, arrival.lane)
        state = self._lanes.setdefault(lane, LaneState())
        from_seq = arrival.seq if arrival.gap is None else arrival.gap.from_
        content = None if arrival.gap is not None or arrival.fault is not None else arrival.digest
        verdict = sequence.judge(state, arrival.ep, from_seq, arrival.seq, content)
        match verdict:
            case Verdict.DUPLICATE:
                facts.duplicates += 1
                self._tell_again(facts, address, arrival.lane, state.ep, state.seq)
                return None
            case Verdict.AHEAD:
                facts.ahead += 1
                if arrival.ep == state.ep:
                    self._tell_again(facts, address, arrival.lane, state.ep, state.seq)
                else:
                    facts.unknown.setdefault(address, {})[arrival.lane] = arrival.ep
                return None
            case Verdict.CLOSED | Verdict.CLONE:
                facts.frames.append(self._refused(arrival, lane, verdict, facts, now))
                return None
        if arrival.prev is not None and arrival.ep != state.ep:
            lost = sequence.close(state, arrival.ep, arrival.prev.ep, arrival.prev.seq)
            if lost is not None:
                facts.frames.append(_lost(address, lane, lost))
        self._repair_clock(arrival, columns, now)
        first = sequence.advance(state, arrival.ep, arrival.seq, content)
        return self._settled(arrival, lane, first, now)

    def _settled(self, arrival: Arrival, lane: LaneId, first: int, now: datetime) -> Settled:
        address = arrival.address
        settled = Settled(
            lane,
            ep=arrival.ep,
            from_seq=first,
            to_seq=arrival.seq,
            digest=arrival.digest,
            tenant=address.tenant,
            gateway=address.gateway,
            site=address.site,
            message=arrival.message,
            gap_reason="" if arrival.gap is None else arrival.gap.reason,
        )
        if arrival.fault is not None:
            settled.quarantine = self._bounded(_quarantine(arrival, lane, arrival.seq, arrival.fault), now)
            if arrival.fault.reason is Reason.BAD_TIME and clean.is_fast_clock(arrival.t0_ms, _limits(now)):
                settled.anomalies = (alarms.fast_clock(arrival),)
            return settled
        if not arrival.timed:
            settled.held_boot = arrival.boot
        if arrival.lane in LIVE_LANES and arrival.gap is None and arrival.sync:
            settled.live_t0_ms = arrival.t0_ms
        if arrival.events:
            settled.events = tuple(
                self._event_row(arrival, event, self._count(address, event), now) for event in arrival.events
            )
            settled.positions = tuple(self._move(arrival, row) for row in settled.events)
        settled.answers = _answers(arrival, now)
        return settled

    def _settle_late(self, arrival: Arrival, late: LateFrame, columns: Columns, now: datetime) -> Settled | None:
        """What becomes of a frame whose place was settled before; None leaves it where it is."""
        if arrival.fault is None and arrival.lane is not None:
            self._repair_clock(arrival, columns, now)
            if not arrival.timed:
                if late.origin is Origin.UNSYNCED and not late.expired:
                    return None
                if not arrival.events or late.origin is Origin.QUARANTINE:
                    arrival.fault = _unsynced(arrival)
        address = arrival.address
        settled = Settled(None, ep=arrival.ep, to_seq=arrival.seq, tenant=address.tenant, gateway=address.gateway,
                          site=address.site, message=late.message, outcome=Outcome(late, arrival.fault))  # fmt: skip
        if arrival.fault is not None:
            return settled
        if late.origin is Origin.UNSYNCED:
            if arrival.timed:
                times = tuple((event.id, _moment(arrival.t0_ms + event.d)) for event in arrival.events)
                settled.outcome = Outcome(late, None, times)
            return settled
        # Events of long ago are part of the record; what lies on the shelf now, newer ones have said.
        settled.events = tuple(self._event_row(arrival, event, event.on_shelf, now) for event in arrival.events)
        settled.answers = _answers(arrival, now)
        return settled

    # ------------------------------------------------------------- clocks

    def _repair_clock(self, arrival: Arrival, columns: Columns, now: datetime) -> None:
        """Set right the times of a frame whose clock was not disciplined, or find that nobody knows them yet.

        Readings then wait for an anchor of their boot. An event is never held back: its time is that of receipt until
        then. An answer needs no time.
        """
        if arrival.sync or arrival.gap is not None or arrival.fault is not None or arrival.answers:
            return
        address = arrival.address
        utc_ms = self._anchors.utc_ms((address.tenant, address.gateway), arrival.boot, arrival.mono_ms)
        if utc_ms is None:
            arrival.timed = False
            if not arrival.boot and not arrival.events:
                arrival.fault = _unsynced(arrival)
            arrival.t0_ms = arrival.message.received_ms
            return
        shift_ms = utc_ms - arrival.t0_ms
        arrival.t0_ms = last_ms = utc_ms
        if arrival.events:
            last_ms += max(event.d for event in arrival.events)
        if arrival.hi > arrival.lo:
            columns.time_us[arrival.lo : arrival.hi] += shift_ms * 1000
            last_ms = int(np.max(columns.time_us[arrival.lo : arrival.hi])) // 1000
        arrival.fault = clean.check_times(arrival.t0_ms, last_ms, _limits(now))

    def _take_presence(self, sighting: Sighting, facts: Facts) -> None:
        address, presence, _ = sighting
        if presence.utc is not None and presence.boot:
            self._anchors.note((address.tenant, address.gateway), presence.boot, presence.utc - presence.mono)
        facts.frames.append(
            Settled(None, tenant=address.tenant, gateway=address.gateway, site=address.site, sighting=sighting)
        )
        for lane in Lane:
            state = self._lanes.get(LaneId(address.tenant, address.gateway, lane))
            if state is not None and state.ep:
                self._tell_again(facts, address, lane, state.ep, state.seq)

    # ------------------------------------------------------------- events

    def _event_row(self, arrival: Arrival, event: Event, on_shelf: int | None, now: datetime) -> EventRow:
        address = arrival.address
        slot = self._names.snapshot.slots.get((address.tenant, address.gateway, event.slot))
        at_ms = arrival.t0_ms + event.d
        if not arrival.timed:
            at_ms = min(at_ms, int(now.timestamp() * 1000))
        return EventRow(
            address.tenant,
            address.gateway,
            event.id,
            _moment(at_ms),
            address.site,
            event.slot,
            "" if slot is None else slot.sku,
            event.kind,
            event.units,
            event.dg,
            event.conf,
            on_shelf,
            event.of,
            event.why,
            dict(event.other),
            arrival.timed,
            arrival.seq,
        )

    def _count(self, address: GatewayAddress, event: Event) -> int:
        place = (address.tenant, address.gateway, event.slot)
        after = position.apply(self._on_shelf.get(place, 0), event)
        self._on_shelf[place] = after
        return after

    def _move(self, arrival: Arrival, row: EventRow) -> PositionRow:
        assert row.on_shelf is not None
        address = arrival.address
        return PositionRow(row.tenant, row.gateway, row.slot, address.site, row.sku, row.on_shelf, row.time)

    # ------------------------------------------------------------- what is not settled

    def _take_stray(self, stray: Stray, facts: Facts, now: datetime) -> None:
        row = QuarantineRow(stray.tenant, stray.gateway, "", "", None, stray.message, stray.fault)
        sample = self._sample(row, facts, now)
        if sample is not None:
            facts.frames.append(Settled(None, tenant=stray.tenant, gateway=stray.gateway, quarantine=sample))

    def _sample(self, row: QuarantineRow, facts: Facts, now: datetime) -> QuarantineRow | None:
        """Count what settles nothing, and keep samples; a flood of it must not fill the database."""
        reason = row.fault.reason
        facts.strays[reason] = facts.strays.get(reason, 0) + 1
        self._begin_hour(now)
        seen = self._strays.get((row.tenant, row.gateway, reason), 0)
        if seen >= STRAYS_KEPT_MAX or self._strays_kept >= STRAYS_AN_HOUR_MAX:
            return None
        self._strays[row.tenant, row.gateway, reason] = seen + 1
        self._strays_kept += 1
        return row

    def _bounded(self, row: QuarantineRow, now: datetime) -> QuarantineRow:
        """The row, without its payload once its gateway has filled its share of this hour."""
        self._begin_hour(now)
        gateway = (row.tenant, row.gateway)
        used = self._payload_bytes.get(gateway, 0) + len(row.message.payload)
        if used > PAYLOADS_AN_HOUR_MAX:
            return row._replace(keeps_payload=False)
        self._payload_bytes[gateway] = used
        return row

    def _begin_hour(self, now: datetime) -> None:
        hour = int(now.timestamp()) // 3600
        if hour != self._hour:
            self._hour, self._strays_kept = hour, 0
            self._strays.clear()
            self._payload_bytes.clear()

    def _refused(self, arrival: Arrival, lane: LaneId, verdict: Verdict, facts: Facts, now: datetime) -> Settled:
        """Quarantine of a frame that only a second agent with the same name can have sent, and its alarm."""
        if verdict is Verdict.CLONE:
            fault = Fault(Reason.CONFLICT, f"frame {arrival.seq} of {arrival.ep} came again with other content")
        else:
            fault = Fault(Reason.CLOSED_INCARNATION, f"incarnation {arrival.ep} is closed")
        address = arrival.address
        sample = self._sample(_quarantine(arrival, lane, None, fault), facts, now)
        return Settled(None, tenant=address.tenant, gateway=address.gateway, site=address.site, quarantine=sample,
                       anomalies=(alarms.two_agents(arrival, fault.detail),))  # fmt: skip

    @staticmethod
    def _tell_again(facts: Facts, address: GatewayAddress, lane: Lane, ep: str, seq: int) -> None:
        facts.again.setdefault(address, {})[lane] = (ep, seq)

    # ------------------------------------------------------------- detection

    def _detect(self, facts: Facts) -> None:
        found = self._spikes.step(facts.columns, self._names.name_of)
        if not found:
            return
        rows = tuple(self._spike_row(spike) for spike in found)
        facts.frames.append(Settled(None, tenant=rows[0].tenant, gateway=rows[0].gateway, anomalies=rows))

    def _spike_row(self, spike: Spike) -> AnomalyRow:
        tenant, gateway, channel = self._names.name_of(spike.series)
        registered = self._names.snapshot.gateways.get((tenant, gateway))
        place = f"{gateway}/{channel}"
        return AnomalyRow(
            anomaly_id=derived_id(tenant, AnomalyKind.SPIKE, place, spike.start_us),
            tenant=tenant,
            site="" if registered is None else registered.site,
            gateway=gateway,
            kind=AnomalyKind.SPIKE,
            place_kind="series",
            place=place,
            start=_from_us(spike.start_us),
            end=_from_us(spike.end_us),
            detected=_from_us(spike.detected_us),
            severity=spike.severity,
            score=spike.score,
            evidence=spike.evidence,
        )


def _plain(run: PlainRun, lo: int) -> Settled:
    address = run.address
    return Settled(None, lo=lo, hi=lo + run.hi - run.lo, tenant=address.tenant, gateway=address.gateway,
                   site=address.site, bundle=run.bundle, once=run.once)  # fmt: skip


def _quarantine(arrival: Arrival, lane: LaneId, seq: int | None, fault: Fault) -> QuarantineRow:
    return QuarantineRow(lane.tenant, lane.gateway, lane.lane, arrival.ep, seq, arrival.message, fault)


def _lost(address: GatewayAddress, lane: LaneId, lost: Lost) -> Settled:
    """The gap that a lost outbox leaves: the gateway cannot declare it any more."""
    return Settled(lane, ep=lost.ep, from_seq=lost.first, to_seq=lost.last, tenant=address.tenant,
                   gateway=address.gateway, site=address.site, gap_reason=GapReason.CORRUPT)  # fmt: skip


def _unsynced(arrival: Arrival) -> Fault:
    return Fault(Reason.UNSYNCED, f"no presence of boot {arrival.boot!r} tells its time")


def _answers(arrival: Arrival, now: datetime) -> tuple[AnswerRow, ...]:
    """Answers as of when they were given, as far as that is known."""
    if not arrival.answers:
        return ()
    is_known = arrival.sync and clean.check_times(arrival.t0_ms, arrival.t0_ms, _limits(now)) is None
    at = _moment(arrival.t0_ms if is_known else arrival.message.received_ms)
    address = arrival.address
    return tuple(
        AnswerRow(address.tenant, address.gateway, each.cmd, each.state, each.result, each.error, each.cfg,
                  each.applied, at)
        for each in arrival.answers
    )  # fmt: skip


def _limits(now: datetime) -> clean.Limits:
    return clean.limits_at(now, RETENTION, CLOCK_AHEAD)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _from_us(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC)
