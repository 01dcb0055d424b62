"""A file that is of no use is set aside, and the incarnation that follows names the one that was lost."""

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.frames import Gap, GapReason, decode
from contracts.topics import Lane
from edge_agent.outbox import opening
from edge_agent.outbox.file import Entry, Outbox, OutboxFullError
from edge_agent.outbox.store import Marks
from tests.integration.edge.frame_makers import event, tel_entry

TEL, EVT, BULK = Lane.TEL, Lane.EVT, Lane.BULK


def test_a_file_of_another_machine_is_set_aside_and_followed_by_a_new_incarnation(
    open_outbox: Callable[..., Outbox], tmp_path: Path
) -> None:
    first = open_outbox()
    first.write([tel_entry(1.0), tel_entry(2.0)])
    first.close()
    second = open_outbox(machine="machine-2")
    second.write([tel_entry(3.0), tel_entry(4.0)])
    assert second.ep != first.ep
    frames = [decode(TEL, stored.payload) for stored in second.read(TEL, 0, 9)]
    assert frames[0].prev is not None
    assert (frames[0].prev.ep, frames[0].prev.seq, frames[1].prev) == (first.ep, 2, None)
    assert len(list(tmp_path.glob("outbox.db.cloned-*"))) == 1


def test_a_file_of_another_version_is_set_aside(open_outbox: Callable[..., Outbox], tmp_path: Path) -> None:
    first = open_outbox()
    first.write([tel_entry(1.0)])
    first.close()
    with sqlite3.connect(tmp_path / "outbox.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    second = open_outbox()
    assert second.marks()[TEL] == Marks(0, 0)
    assert len(list(tmp_path.glob("outbox.db.outdated-*"))) == 1


def test_a_corrupt_file_is_set_aside_and_work_goes_on(open_outbox: Callable[..., Outbox], tmp_path: Path) -> None:
    first = open_outbox()
    first.write([tel_entry(float(k), readings=50) for k in range(200)])
    first.close()
    file = tmp_path / "outbox.db"
    raw = bytearray(file.read_bytes())
    raw[0:4_096] = random.Random(0).randbytes(4_096)
    file.write_bytes(raw)
    second = open_outbox()
    second.write([tel_entry(1.0)])
    assert second.ep != first.ep
    assert second.marks()[TEL] == Marks(0, 1)
    assert len(list(tmp_path.glob("outbox.db.corrupt-*"))) == 1


def test_corruption_while_running_names_the_incarnation_that_was_lost(
    open_outbox: Callable[..., Outbox], tmp_path: Path
) -> None:
    outbox = open_outbox()
    outbox.write([tel_entry(float(k), readings=50) for k in range(2_000)])
    lost = outbox.ep
    spoil(outbox, tmp_path / "outbox.db")
    outbox.write([tel_entry(7.0, readings=50) for _ in range(50)])
    assert outbox.ep != lost
    first = decode(TEL, outbox.read(TEL, 0, 1)[0].payload)
    assert first.prev is not None
    assert (first.prev.ep, first.prev.seq) == (lost, 2_000)


def spoil(outbox: Outbox, path: Path) -> None:
    """Overwrite the open file behind its back."""
    outbox._file.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(random.Random(0).randbytes(1_000_000))
    outbox._file.db.execute("PRAGMA shrink_memory").fetchall()


def test_what_was_lost_on_a_lane_that_is_seldom_used_is_declared_at_once_and_across_incarnations(
    open_outbox: Callable[..., Outbox], tmp_path: Path
) -> None:
    outbox = open_outbox()
    outbox.write([tel_entry(float(k), lane=BULK, readings=50) for k in range(2_000)])
    first = outbox.ep
    spoil(outbox, tmp_path / "outbox.db")
    outbox.write([tel_entry(1.0)])
    (declared,) = [decode(BULK, stored.payload) for stored in outbox.read(BULK, 0, 9)]
    assert declared.gap == Gap(1, 1, GapReason.CORRUPT)
    assert declared.prev is not None
    assert (declared.prev.ep, declared.prev.seq) == (first, 2_000)
    second = outbox.ep
    outbox.renew()  # the second incarnation never used the lane for events
    outbox.write([Entry(EVT, event(1), 0), tel_entry(1.0, lane=BULK)])
    after = decode(BULK, outbox.read(BULK, 0, 9)[0].payload)
    assert after.prev is not None
    assert (after.prev.ep, after.prev.seq) == (second, 1)


def test_a_lane_that_the_last_incarnation_never_used_still_ends_where_it_did_before(
    open_outbox: Callable[..., Outbox],
) -> None:
    outbox = open_outbox()
    outbox.write([tel_entry(1.0, lane=BULK)])
    first = outbox.ep
    outbox.renew()
    outbox.renew()
    outbox.write([tel_entry(2.0, lane=BULK)])
    frame = decode(BULK, outbox.read(BULK, 0, 9)[0].payload)
    assert frame.prev is not None
    assert (frame.prev.ep, frame.prev.seq) == (first, 1)


def test_a_file_that_cannot_be_made_anew_yet_is_a_full_disk_and_loses_no_trace(
    open_outbox: Callable[..., Outbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = open_outbox()
    outbox.write([tel_entry(float(k), readings=50) for k in range(2_000)])
    first = outbox.ep
    spoil(outbox, tmp_path / "outbox.db")
    with monkeypatch.context() as patch:
        patch.setattr(opening, "connect", refuse)
        for _ in range(2):
            with pytest.raises(OutboxFullError):
                outbox.write([tel_entry(1.0)])
        assert (outbox.ep, outbox.marks()[TEL], outbox.read(TEL, 0, 9)) == ("", Marks(0, 0), [])
        assert (outbox.depth().frames, outbox.sent(), outbox.size_bytes()) == (0, {}, 0)
    outbox.write([tel_entry(1.0)])
    frame = decode(TEL, outbox.read(TEL, 0, 9)[0].payload)
    assert frame.prev is not None
    assert (frame.prev.ep, frame.prev.seq) == (first, 2_000)


def test_a_file_that_could_not_be_made_anew_before_a_restart_still_names_the_one_before(
    open_outbox: Callable[..., Outbox], tmp_path: Path
) -> None:
    outbox = open_outbox()
    outbox.write([tel_entry(1.0), tel_entry(2.0)])
    first = outbox.ep
    outbox.close()
    opening.set_aside(tmp_path / "outbox.db", "corrupt", 1_800_000_000_000)
    again = open_outbox()
    again.write([tel_entry(3.0)])
    frame = decode(TEL, again.read(TEL, 0, 9)[0].payload)
    assert frame.prev is not None
    assert (frame.prev.ep, frame.prev.seq) == (first, 2)


def refuse(_path: Path) -> sqlite3.Connection:
    """A disk that takes no new file."""
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def test_corruption_met_while_giving_up_frames_begins_anew(open_outbox: Callable[..., Outbox], tmp_path: Path) -> None:
    outbox = open_outbox()
    outbox.write([tel_entry(float(k), readings=50) for k in range(2_000)])
    lost = outbox.ep
    spoil(outbox, tmp_path / "outbox.db")
    outbox.give_up(TEL, Gap(from_=1, to=1_000, reason=GapReason.REFUSED))
    assert outbox.ep != lost
    assert outbox.marks()[TEL] == Marks(0, 0)


def test_a_platform_that_is_ahead_makes_a_new_incarnation(open_outbox: Callable[..., Outbox], tmp_path: Path) -> None:
    outbox = open_outbox()
    outbox.write([tel_entry(1.0)])
    old = outbox.ep
    outbox.renew()
    outbox.write([tel_entry(2.0)])
    assert outbox.ep != old
    assert outbox.marks()[TEL] == Marks(0, 1)
    assert len(list(tmp_path.glob("outbox.db.restored-*"))) == 1
