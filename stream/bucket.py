"""The work of one bucket: sequence check, repair of clocks, positions, detection. Facts out, no I/O.

Bytewax keeps one ``Bucket`` for each of the 64 buckets. Where its lanes and shelves stand always comes from the
database at the start, which may be ahead of the recovery store; only what the detectors learnt comes from there.
"""

from datetime import datetime, timedelta
from typing import Final, Protocol

import numpy as np

from contracts.frames import GapReason, Reason
from contracts.ids import bucket_of
from contracts.topics import GatewayAddress, Lane
from stream import alarms, clean, sequence
from stream.answers import answers_of
from stream.clocks import Anchors
from stream.control_data import Beginning, Snapshot
from stream.facts import (
    Arrival,
    Chunk,
    Columns,
    Facts,
    Fault,
    LaneId,
    LateFrame,
    Origin,
    Outcome,
    PlainRun,
    QuarantineRow,
    Settled,
    Sighting,
    Stray,
    join_columns,
)
from stream.live_spikes import LiveSpikes
from stream.repair import repair_clock, unsynced
from stream.samples import Samples
from stream.sequence import LaneState, Lost, Verdict
from stream.settings import CLOCK_AHEAD, RETENTION
from stream.shelves import Shelves, moment, positions
from stream.watching import Watching, key_of_state, settled

LIVE_LANES: Final = frozenset({Lane.TEL, Lane.EVT})


class Names(Protocol):
    """What a bucket asks of the control data."""

    @property
    def snapshot(self) -> Snapshot:
        """The newest control data."""

    def name_of(self, series_id: int) -> tuple[str, str, str]:
        """Tenant, gateway and channel of a series."""


class Bucket:
    """State of one bucket.

    ``learnt`` is what ``snapshot`` returned before, or None; ``spikes`` it shares. ``retention``: the age from which
    readings are refused. ``is_ours`` False: its frames are read by another process, and its plain readings by this one.
    """

    def __init__(  # noqa: PLR0913 - what a bucket is made of
        self,
        number: int,
        names: Names,
        beginning: Beginning,
        learnt: bytes | None,
        spikes: LiveSpikes,
        *,
        retention: timedelta = RETENTION,
        is_ours: bool = True,
    ) -> None:
        self._number = number
        self._names = names
        self._retention = retention
        self._lanes: dict[LaneId, LaneState] = {
            lane: LaneState(state.ep, state.seq, dict(state.closed))
            for lane, state in beginning.lanes.items()
            if bucket_of(lane.gateway) == number
        }
        on_shelf = {
            place: stored.on_shelf for place, stored in beginning.positions.items() if bucket_of(place[1]) == number
        }
        self._shelves = Shelves(on_shelf, lambda: names.snapshot)
        self._anchors = Anchors(
            {gateway: boots for gateway, boots in beginning.anchors.items() if bucket_of(gateway[1]) == number}
        )
        self._spikes = spikes
        self._samples = Samples()
        unended = [row for row in beginning.unended if bucket_of(row.gateway) == number]
        saved = beginning.learnt.get(key_of_state(number, is_ours=is_ours))
        self._watching = Watching(number, names, saved, unended, is_ours=is_ours)
        spikes.join(number, learnt, self._watching.is_explained)

    def snapshot(self) -> bytes:
        """What the search for spikes learnt."""
        return self._spikes.snapshot(self._number)

    def take(self, chunks: list[Chunk], now: datetime) -> Facts:
        """Facts of the chunks, in order of receipt. ``now`` judges repaired times and stamps unsynced events."""
        facts = Facts(join_columns([]))
        parts: list[Columns] = []
        for chunk in chunks:
            offset = sum(len(part) for part in parts)
            parts.append(self._take_chunk(chunk, facts, offset, now))
        facts.columns = join_columns(parts)
        self._detect(facts, now)
        return facts

    # ------------------------------------------------------------- one chunk

    def _take_chunk(self, chunk: Chunk, facts: Facts, offset: int, now: datetime) -> Columns:
        """Judge every arrival; returns the readings of those that count, ``offset`` is where they will stand."""
        for sighting in chunk.sightings:
            self._take_presence(sighting, facts)
        if chunk.listening_since is not None:
            facts.frames += self._watching.miss(chunk.listening_since, now)
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
        repair_clock(arrival, columns, self._anchors, self._limits(now))
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
            settled.quarantine = self._samples.bound(_quarantine(arrival, lane, arrival.seq, arrival.fault), now)
            if arrival.fault.reason is Reason.BAD_TIME and clean.is_fast_clock(arrival.t0_ms, self._limits(now)):
                settled.anomalies = (alarms.fast_clock(arrival),)
            return settled
        if not arrival.timed:
            settled.held_boot = arrival.boot
        if arrival.lane in LIVE_LANES and arrival.gap is None and arrival.sync:
            settled.live_t0_ms = arrival.t0_ms
        if arrival.events:
            settled.events = self._shelves.apply(arrival, now)
            settled.positions = positions(settled.events)
        settled.answers = answers_of(arrival, self._limits(now))
        return settled

    def _settle_late(self, arrival: Arrival, late: LateFrame, columns: Columns, now: datetime) -> Settled | None:
        """What becomes of a frame whose place was settled before; None leaves it where it is."""
        if arrival.fault is None and arrival.lane is not None:
            repair_clock(arrival, columns, self._anchors, self._limits(now))
            if not arrival.timed:
                if late.origin is Origin.UNSYNCED and not late.expired:
                    return None
                if not arrival.events or late.origin is Origin.QUARANTINE:
                    arrival.fault = unsynced(arrival)
        address = arrival.address
        settled = Settled(None, ep=arrival.ep, to_seq=arrival.seq, tenant=address.tenant, gateway=address.gateway,
                          site=address.site, message=late.message, outcome=Outcome(late, arrival.fault))  # fmt: skip
        if arrival.fault is not None:
            return settled
        if late.origin is Origin.UNSYNCED:
            if arrival.timed:
                times = tuple((event.id, moment(arrival.t0_ms + event.d)) for event in arrival.events)
                settled.outcome = Outcome(late, None, times)
            return settled
        settled.events = self._shelves.record(arrival, now)
        settled.answers = answers_of(arrival, self._limits(now))
        return settled

    # ------------------------------------------------------------- clocks

    def _take_presence(self, sighting: Sighting, facts: Facts) -> None:
        address, presence, _ = sighting
        if presence.utc is not None and presence.boot:
            self._anchors.note((address.tenant, address.gateway), presence.boot, presence.utc - presence.mono)
        facts.frames.append(
            Settled(None, tenant=address.tenant, gateway=address.gateway, site=address.site, sighting=sighting)
        )
        facts.frames += self._watching.sight(sighting)
        for lane in Lane:
            state = self._lanes.get(LaneId(address.tenant, address.gateway, lane))
            if state is not None and state.ep:
                self._tell_again(facts, address, lane, state.ep, state.seq)

    # ------------------------------------------------------------- what is not settled

    def _take_stray(self, stray: Stray, facts: Facts, now: datetime) -> None:
        row = QuarantineRow(stray.tenant, stray.gateway, "", "", None, stray.message, stray.fault)
        sample = self._samples.take(row, facts, now)
        if sample is not None:
            facts.frames.append(Settled(None, tenant=stray.tenant, gateway=stray.gateway, quarantine=sample))

    def _refused(self, arrival: Arrival, lane: LaneId, verdict: Verdict, facts: Facts, now: datetime) -> Settled:
        """Quarantine of a frame that only a second agent with the same name can have sent, and its alarm."""
        if verdict is Verdict.CLONE:
            fault = Fault(Reason.CONFLICT, f"frame {arrival.seq} of {arrival.ep} came again with other content")
        else:
            fault = Fault(Reason.CLOSED_INCARNATION, f"incarnation {arrival.ep} is closed")
        address = arrival.address
        sample = self._samples.take(_quarantine(arrival, lane, None, fault), facts, now)
        return Settled(None, tenant=address.tenant, gateway=address.gateway, site=address.site, quarantine=sample,
                       anomalies=(alarms.two_agents(arrival, fault.detail),))  # fmt: skip

    @staticmethod
    def _tell_again(facts: Facts, address: GatewayAddress, lane: Lane, ep: str, seq: int) -> None:
        facts.again.setdefault(address, {})[lane] = (ep, seq)

    def _limits(self, now: datetime) -> clean.Limits:
        return clean.limits_at(now, self._retention, CLOCK_AHEAD)

    # ------------------------------------------------------------- detection

    def _detect(self, facts: Facts, now: datetime) -> None:
        facts.frames += self._watching.take(facts.columns, now)
        # Each in a frame of its own: they may be of gateways of other buckets, and of other tenants.
        facts.frames += [settled(row) for row in self._spikes.take(self._number, facts.columns, now)]


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
