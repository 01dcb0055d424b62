"""The outbox file: numbers without holes, declared losses, and a life after power cuts, corruption and full disks."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from contracts.frames import Gap, GapReason, decode, digest
from contracts.topics import Lane
from edge_agent.outbox import account
from edge_agent.outbox.file import Entry, Outbox, OutboxFullError
from edge_agent.outbox.store import Marks
from edge_agent.outbox.writer import OutboxWriter
from tests.integration.edge.frame_makers import event, tel_entry, telemetry
from tests.integration.edge.waiting import wait_for

TEL, EVT, BULK = Lane.TEL, Lane.EVT, Lane.BULK
ROOMY = 1 << 30


def values(outbox: Outbox, lane: Lane = TEL) -> list[float]:
    return [frame.x[0] for stored in outbox.read(lane, 0, 256) if (frame := decode(lane, stored.payload)).gap is None]  # type: ignore[union-attr]


def gaps(outbox: Outbox, lane: Lane) -> list[Gap]:
    frames = [decode(lane, stored.payload) for stored in outbox.read(lane, 0, 256)]
    return [frame.gap for frame in frames if frame.gap is not None]


def test_frames_are_numbered_from_one_in_each_lane(open_outbox: Callable[..., Outbox]) -> None:
    outbox = open_outbox()
    outbox.write([tel_entry(1.0), Entry(EVT, event(1), 0), tel_entry(2.0)])
    assert outbox.marks()[TEL] == Marks(0, 2)
    assert outbox.marks()[EVT] == Marks(0, 1)
    assert values(outbox) == [1.0, 2.0]
    assert {decode(TEL, stored.payload).ep for stored in outbox.read(TEL, 0, 9)} == {outbox.ep}


def test_a_restart_goes_on_where_it_was(open_outbox: Callable[..., Outbox]) -> None:
    first = open_outbox()
    first.write([tel_entry(1.0), tel_entry(2.0)], {"s01-b1": b"memory"})
    first.release(TEL, 1)
    first.close()
    again = open_outbox()
    again.write([tel_entry(3.0)])
    assert again.ep == first.ep
    assert again.marks()[TEL] == Marks(1, 3)
    assert values(again) == [2.0, 3.0]
    assert again.slots() == {"s01-b1": b"memory"}


def test_the_running_account_is_the_sum_over_all_frames_ever_written(open_outbox: Callable[..., Outbox]) -> None:
    outbox = open_outbox()
    outbox.write([tel_entry(float(k), readings=3) for k in range(5)])
    frames = [decode(TEL, stored.payload) for stored in outbox.read(TEL, 0, 9)]
    outbox.release(TEL, 5)
    outbox.write([])
    sent = outbox.sent()["tel"]
    assert (sent.ep, sent.seq, int(sent.digest, 16)) == (outbox.ep, 5, sum(map(digest, frames)) % 2**64)
    assert list(outbox.sent()) == ["tel"]
    assert outbox.depth().frames == 0


def test_over_the_cap_bulk_is_given_up_first_and_events_last(open_outbox: Callable[..., Outbox]) -> None:
    outbox = open_outbox(max_bytes=8_000)
    outbox.write([Entry(EVT, event(k), 0) for k in range(5)])
    outbox.write([tel_entry(float(k)) for k in range(10)])
    outbox.write([tel_entry(float(k), lane=BULK) for k in range(200)])
    (gap,) = gaps(outbox, BULK)
    assert (gap.from_, gap.reason) == (1, GapReason.EVICTED)
    assert values(outbox, BULK)[-1] == 199.0
    assert (gaps(outbox, TEL), gaps(outbox, EVT)) == ([], [])
    assert len(values(outbox)) == 10

    outbox.write([tel_entry(float(k)) for k in range(200)])
    assert values(outbox, BULK) == []
    assert len(gaps(outbox, TEL)) == 1
    assert gaps(outbox, EVT) == []


def test_what_is_given_up_leaves_the_sum_and_is_counted(open_outbox: Callable[..., Outbox], tmp_path: Path) -> None:
    outbox = open_outbox(max_bytes=4_000)
    for k in range(100):
        outbox.write([tel_entry(float(k), readings=2)])
    kept = outbox.read(TEL, 0, 256)
    frames = [decode(TEL, stored.payload) for stored in kept]
    assert int(outbox.sent()["tel"].digest, 16) == sum(map(digest, frames)) % 2**64
    told = account.read(tmp_path / "outbox.db")
    (lane,) = [each for each in told.lanes if each.lane == "tel"]
    assert lane.readings_written == 200
    assert lane.readings_lost == 200 - 2 * (len(kept) - 1)
    assert told.gaps[-1].reason == "evicted"
    assert lane.bytes_waiting <= 4_000


def test_a_full_disk_refuses_and_recovers_and_loses_nothing_that_was_written(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands for the full disk: the child's own files may not grow past it."""
    script = Path(__file__).with_name("full_disk_child.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path / "outbox.db"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["refused"] > 0
    assert told["after"] == told["before"] + 1, "the frame that found no room took no number"
    assert told["values"] == list(range(told["after"]))


def test_what_was_said_to_be_committed_survives_kill_9(tmp_path: Path) -> None:
    script = Path(__file__).with_name("kill_child.py")
    file = tmp_path / "outbox.db"
    said = 0
    rng = random.Random(0)
    for _ in range(12):
        child = subprocess.Popen([sys.executable, script, file], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        lines = rng.randint(1, 60)
        for _ in range(lines):
            said = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        # What was still in the pipe was committed too.
        for line in child.stdout:
            if line.endswith("\n"):
                said = int(line)
        child.wait()
        outbox = Outbox(file, machine="machine-1", max_bytes=ROOMY)
        outbox.open()
        last = outbox.marks()[TEL].last
        assert last >= said
        seqs, after = [], 0
        while batch := outbox.read(TEL, after, 256):
            seqs += [stored.seq for stored in batch]
            after = seqs[-1]
        assert seqs == list(range(1, last + 1))
        outbox.close()
    assert said > 50


def test_the_account_can_be_read_while_the_agent_writes(open_outbox: Callable[..., Outbox], tmp_path: Path) -> None:
    outbox = open_outbox()
    outbox.write([tel_entry(1.0, readings=7), Entry(EVT, event(1), 0)])
    told = account.read(tmp_path / "outbox.db").as_json()
    assert (told["frames_written"], told["readings_written"], told["frames_waiting"]) == (2, 7, 2)
    outbox.release(TEL, 1)
    outbox.write([tel_entry(2.0, readings=5)])
    told = account.read(tmp_path / "outbox.db").as_json()
    assert (told["frames_written"], told["readings_written"], told["frames_waiting"]) == (3, 12, 2)


def test_the_writer_puts_everything_on_the_disk_before_it_ends(open_outbox: Callable[..., Outbox]) -> None:
    outbox = open_outbox()
    writer = OutboxWriter(outbox)
    writer.start()
    for k in range(500):
        assert writer.put(tel_entry(float(k)))
    assert writer.stop({"s01-b1": b"memory"})
    assert writer.is_idle
    assert outbox.marks()[TEL].last == 500
    assert outbox.slots() == {"s01-b1": b"memory"}


class FullOutbox(Outbox):
    """An outbox on a disk that is full until ``has_room``."""

    has_room = False

    def write(self, entries: object, slots: object = None) -> None:
        if not self.has_room:
            raise OutboxFullError
        super().write(entries, slots or {})  # type: ignore[arg-type]


def test_the_writer_holds_frames_while_the_disk_is_full_and_says_what_it_could_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.outbox.writer.QUEUE_MAX", 60)
    monkeypatch.setattr("edge_agent.outbox.writer.RESERVED", 10)
    monkeypatch.setattr("edge_agent.outbox.writer.GROUP_MAX", 20)
    monkeypatch.setattr("edge_agent.outbox.writer.RETRY_S", 0.01)
    outbox = FullOutbox(tmp_path / "outbox.db", machine="m", max_bytes=ROOMY)
    outbox.open()
    writer = OutboxWriter(outbox)
    taken = sum(writer.put(tel_entry(float(k), readings=2)) for k in range(60))
    assert taken == 50
    assert (writer.refused_frames, writer.refused_readings) == (10, 20)
    assert writer.put(Entry(EVT, event(1), 0)), "a decision finds room when readings do not any more"
    writer.keep({"s01-b1": b"memory"})
    writer.start()
    wait_for(lambda: writer.is_full)
    outbox.has_room = True
    wait_for(lambda: writer.is_idle)
    assert not writer.is_full
    assert writer.stop()
    assert outbox.marks()[TEL].last == 50
    assert outbox.slots() == {"s01-b1": b"memory"}
    outbox.close()


class OutboxMachine(RuleBasedStateMachine):
    """Whatever is written, released, evicted and given up: a lane has no hole, and its sum is that of its frames."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(os.environ["PYTEST_OUTBOX_FOLDER"])
        self.file = self.folder / f"{random.SystemRandom().getrandbits(64):x}.db"
        self.committed = dict.fromkeys(Lane, 0)
        self.forgotten = dict.fromkeys(Lane, 0)
        self._open()

    def _open(self) -> None:
        self.outbox = Outbox(self.file, machine="m", max_bytes=3_000)
        self.outbox.open()

    @rule(lane=st.sampled_from([TEL, BULK]), count=st.integers(1, 15), readings=st.integers(1, 30))
    def write(self, lane: Lane, count: int, readings: int) -> None:
        self.outbox.write([tel_entry(float(k), lane=lane, readings=readings) for k in range(count)])

    @precondition(lambda self: self.outbox.depth().frames > 0)
    @rule(lane=st.sampled_from([TEL, BULK]), share=st.floats(0.0, 1.0))
    def release(self, lane: Lane, share: float) -> None:
        marks = self.outbox.marks()[lane]
        seq = marks.committed + int((marks.last - marks.committed) * share)
        stored = [s for s in self.outbox.read(lane, marks.committed, 256) if s.seq <= seq]
        if stored:  # the platform commits whole frames
            self.forgotten[lane] += sum(digest(decode(lane, each.payload)) for each in stored)
            self.outbox.release(lane, stored[-1].seq)
            self.committed[lane] = stored[-1].seq
            self.outbox.write([])

    @rule(lane=st.sampled_from([TEL, BULK]))
    def refuse(self, lane: Lane) -> None:
        marks = self.outbox.marks()[lane]
        head = self.outbox.read(lane, marks.committed, 1)
        if head:
            self.outbox.give_up(lane, Gap(marks.committed + 1, head[0].seq, GapReason.REFUSED))

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self._open()

    @invariant()
    def lanes_have_no_hole(self) -> None:
        for lane in (TEL, BULK):
            marks = self.outbox.marks()[lane]
            assert marks.committed == self.committed[lane]
            expected = marks.committed + 1
            total = self.forgotten[lane]
            for stored in self.outbox.read(lane, 0, 256):
                frame = decode(lane, stored.payload)
                assert (frame.seq if frame.gap is None else frame.gap.from_) == expected
                expected = stored.seq + 1
                total += digest(frame)
            assert expected == marks.last + 1
            if marks.last:
                assert int(self.outbox.sent()[lane.value].digest, 16) == total % 2**64

    @invariant()
    def the_cap_holds(self) -> None:
        with sqlite3.connect(self.file) as db:
            (size,) = db.execute("SELECT coalesce(sum(length(payload)), 0) FROM frame").fetchone()
        db.close()
        assert size <= 3_000
        assert self.outbox._file.state.bytes == size

    def teardown(self) -> None:
        self.outbox.close()


def test_lanes_keep_their_promises_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_OUTBOX_FOLDER", str(tmp_path))
    steps = hypothesis_settings(max_examples=25, stateful_step_count=25, deadline=None)
    run_state_machine_as_test(OutboxMachine, settings=steps)


def test_a_frame_too_large_for_the_protocol_is_our_mistake(open_outbox: Callable[..., Outbox]) -> None:
    outbox = open_outbox()
    with pytest.raises(ValueError, match="is over 65536"):
        outbox.write([Entry(TEL, telemetry(1.5, readings=20_000), 20_000)])
    outbox.write([tel_entry(1.0)])
    assert outbox.marks()[TEL] == Marks(0, 1)
