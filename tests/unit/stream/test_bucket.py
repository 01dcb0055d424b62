"""A bucket's facts: what counts, what is told again, what is kept as a sample."""

from datetime import UTC, datetime, timedelta

from contracts import frames, topics
from contracts.frames import Event, EventFrame, EventKind, Gap, GapReason, Reason, TelemetryFrame
from contracts.ids import bucket_of
from contracts.topics import GatewayAddress, Lane
from stream.bucket import Bucket
from stream.control_data import Beginning, Snapshot, StoredPosition
from stream.decode import Decoder
from stream.facts import Chunk, Facts, Fault, LaneId, Message, Stray, join_columns
from stream.live_spikes import LiveSpikes
from stream.samples import PAYLOADS_AN_HOUR_MAX, STRAYS_AN_HOUR_MAX, STRAYS_KEPT_MAX
from stream.sequence import LaneState
from tests.unit.stream.test_decode import Registry

NOW = datetime(2026, 5, 1, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
ADDRESS = GatewayAddress("acme", "s1", "g1")


class Names(Registry):
    """A registry without slots and policies."""

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot()

    def name_of(self, series_id: int) -> tuple[str, str, str]:
        (found,) = [(gateway, channel) for (gateway, channel), each in self.ids.items() if each == series_id]
        return ("acme", *found)


class Bench:
    """A bucket behind a decoder."""

    def __init__(self, beginning: Beginning | None = None) -> None:
        self._names = Names()
        self._decode = Decoder(self._names, clock=lambda: NOW)
        self.bucket = Bucket(
            bucket_of("g1"), self._names, beginning or Beginning({}, {}, {}), None, LiveSpikes(self._names)
        )

    def restart(self) -> None:
        """Go on from what the recovery store has."""
        self.bucket = Bucket(
            bucket_of("g1"), self._names, Beginning({}, {}, {}), self.bucket.snapshot(), LiveSpikes(self._names)
        )

    def take(self, *messages: tuple[str, bytes]) -> Facts:
        batch = [Message(topic, payload, NOW_MS) for topic, payload in messages]
        return self.bucket.take([chunk for _, chunk in self._decode([batch])], NOW)

    def send(self, *sent: TelemetryFrame) -> Facts:
        return self.take(*((topics.up(ADDRESS, Lane.TEL), frames.encode(frame)) for frame in sent))


def telemetry(seq: int, n: int = 2, ep: str = "aaaa") -> TelemetryFrame:
    return TelemetryFrame(
        v=1, ep=ep, seq=seq, t0=NOW_MS, ch=["b1.weight_g"], i=[0] * n, d=list(range(n)), x=[float(seq)] * n
    )


def test_only_the_readings_of_frames_that_count_are_kept() -> None:
    bench = Bench()
    facts = bench.send(telemetry(1), telemetry(1), telemetry(3), telemetry(2, n=3))
    assert facts.columns.value.tolist() == [1.0, 1.0, 2.0, 2.0, 2.0]
    assert [(frame.to_seq, frame.lo, frame.hi) for frame in facts.frames] == [(1, 0, 2), (2, 2, 5)]
    assert (facts.duplicates, facts.ahead) == (1, 1)


def test_a_bucket_begins_where_the_database_stands() -> None:
    lanes = {LaneId("acme", "g1", Lane.TEL): LaneState("aaaa", 7, {"zzzz": 3})}
    bench = Bench(Beginning(lanes, {}, {}))
    facts = bench.send(telemetry(7), telemetry(8), telemetry(3, ep="zzzz"))
    assert [frame.to_seq for frame in facts.frames] == [8]
    assert facts.duplicates == 2


def test_a_frame_ahead_is_told_what_is_committed() -> None:
    lanes = {LaneId("acme", "g1", Lane.TEL): LaneState("aaaa", 7)}
    facts = Bench(Beginning(lanes, {}, {})).send(telemetry(12))
    assert facts.again == {ADDRESS: {Lane.TEL: ("aaaa", 7)}}
    assert (facts.unknown, facts.frames) == ({}, [])


def test_a_frame_ahead_of_an_unknown_incarnation_is_asked_for_its_first_and_takes_nothing_back() -> None:
    lanes = {LaneId("acme", "g1", Lane.TEL): LaneState("aaaa", 7)}
    facts = Bench(Beginning(lanes, {}, {})).send(telemetry(12, ep="bbbb"))
    assert facts.unknown == {ADDRESS: {Lane.TEL: "bbbb"}}
    assert (facts.again, facts.frames) == ({}, [])


def test_a_gap_covers_what_is_left_of_it() -> None:
    bench = Bench()
    facts = bench.send(
        telemetry(1), TelemetryFrame(v=1, ep="aaaa", seq=4, gap=Gap(from_=1, to=4, reason=GapReason.CORRUPT))
    )
    assert [(frame.from_seq, frame.to_seq, frame.gap_reason) for frame in facts.frames] == [
        (1, 1, ""),
        (2, 4, "corrupt"),
    ]


def test_events_are_counted_from_what_the_database_has_on_the_shelf() -> None:
    positions = {("acme", "g1", "b1"): StoredPosition("s1", "cola", 10)}
    events = [
        Event(id="e1", d=0, slot="b1", kind=EventKind.SALE, units=-2),
        Event(id="e2", d=5, slot="b1", kind=EventKind.PUT_BACK, units=1, of="e1"),
    ]
    sent = EventFrame(v=1, ep="aaaa", seq=1, t0=NOW_MS, ev=events)
    facts = Bench(Beginning({}, positions, {})).take((topics.up(ADDRESS, Lane.EVT), frames.encode(sent)))
    assert [row.on_shelf for row in facts.frames[0].positions] == [8, 9]
    assert [row.on_shelf for row in facts.frames[0].events] == [8, 9]


def test_an_unsynced_event_counts_at_once_and_says_so() -> None:
    event = Event(id="e1", d=0, slot="b1", kind=EventKind.SALE, units=-2, on_shelf=3)
    sent = EventFrame(v=1, ep="aaaa", seq=1, t0=4_000, sync=0, boot="b00t", mono=4_000, ev=[event])
    facts = Bench().take((topics.up(ADDRESS, Lane.EVT), frames.encode(sent)))
    (row,) = facts.frames[0].events
    assert (row.synced, row.time) == (False, NOW)


def test_a_clone_brings_an_alarm_with_one_id_a_day() -> None:
    bench = Bench()
    bench.send(telemetry(1), telemetry(2))
    first, second = bench.send(telemetry(1, n=3), telemetry(2, n=3)).frames
    assert first.quarantine is not None
    assert first.quarantine.fault.reason is Reason.CONFLICT
    assert first.lane is None
    assert first.anomalies[0].anomaly_id == second.anomalies[0].anomaly_id


def test_of_a_flood_of_strays_samples_are_kept_and_all_are_counted() -> None:
    facts = Bench().take(*[(topics.up(ADDRESS, Lane.TEL), b"{")] * (STRAYS_KEPT_MAX + 30))
    assert len(facts.frames) == STRAYS_KEPT_MAX
    assert facts.strays == {Reason.BAD_JSON: STRAYS_KEPT_MAX + 30}


def test_clones_are_sampled_as_strays_are() -> None:
    bench = Bench()
    bench.send(telemetry(1))
    facts = bench.send(*[telemetry(1, n=3)] * (STRAYS_KEPT_MAX + 30))
    assert len([frame for frame in facts.frames if frame.quarantine is not None]) == STRAYS_KEPT_MAX
    assert facts.strays == {Reason.CONFLICT: STRAYS_KEPT_MAX + 30}


def test_names_that_somebody_makes_up_get_no_more_samples_than_an_hour_has() -> None:
    bench = Bench()
    for name in range(STRAYS_AN_HOUR_MAX + 500):
        bench.bucket.take([Chunk(0, join_columns([]), [], [
            Stray(Message("t", b"{", NOW_MS), "acme", f"made-up-{name}", Fault(Reason.UNKNOWN_GATEWAY, ""))
        ])], NOW)  # fmt: skip
    assert bench.bucket._samples.kinds == STRAYS_AN_HOUR_MAX
    later = bench.bucket.take([Chunk(0, join_columns([]), [], [
        Stray(Message("t", b"{", NOW_MS), "acme", "made-up-1", Fault(Reason.UNKNOWN_GATEWAY, ""))
    ])], NOW + timedelta(hours=1))  # fmt: skip
    assert len(later.frames) == 1


def test_settled_frames_of_a_flood_keep_their_rows_and_not_all_of_their_payloads() -> None:
    bench, large = Bench(), b'"y":"' + b"y" * 60_000 + b'"'
    kept = 0
    frames_sent = 0
    while kept == frames_sent:
        frames_sent += 1
        body = b'{"v":1,"ep":"aaaa","seq":%d,"t0":%d,"x":[true],%s}' % (frames_sent, NOW_MS, large)
        (frame,) = bench.take((topics.up(ADDRESS, Lane.TEL), body)).frames
        assert frame.quarantine is not None
        assert frame.to_seq == frames_sent
        kept += frame.quarantine.keeps_payload
    assert kept == PAYLOADS_AN_HOUR_MAX // len(body)


def test_a_replay_finds_the_same_spike_under_the_same_id() -> None:
    def found(size: int) -> list[str]:
        bench, ids = Bench(), []
        values = [4_000.0 + n % 9 for n in range(120)]
        values[100] = 88_000.0
        for seq, start in enumerate(range(0, 120, size), 1):
            part = values[start : start + size]
            facts = bench.send(TelemetryFrame(
                v=1, ep="aaaa", seq=seq, t0=NOW_MS - 120_000 + start * 1000, ch=["b1.weight_g"], i=[0] * len(part),
                d=[1000 * n for n in range(len(part))], x=part,
            ))  # fmt: skip
            ids += [str(row.anomaly_id) for frame in facts.frames for row in frame.anomalies]
        # What waits to be looked at outlives the process: it is committed, and does not come again.
        bench.restart()
        facts = bench.bucket.take([], NOW + timedelta(seconds=1))
        return ids + [str(row.anomaly_id) for frame in facts.frames for row in frame.anomalies]

    assert len(found(10)) == 1
    assert found(10) == found(24)
