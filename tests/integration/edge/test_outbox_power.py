"""Power cuts: kill -9 leaves the page cache, a power cut does not. What was published is on the disk."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import pytest

from contracts.frames import EventFrame, TelemetryFrame, decode
from contracts.topics import Lane
from edge_agent.outbox.file import Outbox
from tests.integration.edge.power_cut import Disk, Note, Op, build_shim, preloaded, read_journal

LIVES: Final = 10
CUTS_A_LIFE: Final = 5
GROUPS: Final = 120
Published = dict[Lane, tuple[int, int]]
"""For each lane the last number that was published, and the last that the platform had committed."""

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here to build the write journal")


class Cut(NamedTuple):
    """A power cut: what the disk holds then, and what was published before."""

    folder: Path
    published: Published


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


def live(shim: Path, folder: Path, seed: int, synchronous: str) -> list[Note]:
    """Run the real outbox for a while; what it did to the disk."""
    journal = folder.with_suffix(".journal")
    journal.unlink(missing_ok=True)
    script = Path(__file__).with_name("power_child.py")
    child = [sys.executable, str(script), str(folder), str(seed), str(GROUPS), synchronous]
    subprocess.run(child, env=preloaded(shim, folder, journal), check=True, timeout=120)
    return read_journal(journal)


class Moment(NamedTuple):
    """The last note before the power fails, and whether it is of the database file: a checkpoint was at work.

    The first tenth does not count: there the file is being made.
    """

    number: int
    in_checkpoint: bool


def moments(notes: list[Note], rng: Random) -> Iterator[Moment]:
    """Where the power fails: anywhere, and every second time in a checkpoint."""
    names: dict[int, bytes] = {}
    checkpointing = []
    for number, note in enumerate(notes):
        if note.op is Op.OPEN:
            names[note.fd] = note.data
        elif note.op in {Op.WRITE, Op.SYNC} and names[note.fd].endswith(b"outbox.db"):
            checkpointing.append(number)
    for turn in range(CUTS_A_LIFE):
        number = rng.choice(checkpointing) if checkpointing and turn % 2 else rng.randrange(len(notes))
        yield Moment(number, number in checkpointing and number > len(notes) // 10)


def cut_at(moment: int, notes: list[Note], folder: Path, rng: Random, into: Path, before: Published) -> Cut:
    disk, published, is_published = Disk(folder), dict(before), -1
    for note in notes[: moment + 1]:
        disk.play(note)
        if note.op is Op.OPEN and note.data.endswith(b"/published"):
            is_published = note.fd
        elif note.op is Op.WRITE and note.fd == is_published:
            for line in note.data.decode().splitlines():
                lane, last, committed = line.split()
                published[Lane(lane)] = (int(last), int(committed))
    disk.cut(rng, into)
    return Cut(into, published)


def check(cut: Cut, scratch: Path) -> str:
    """What the cut has broken, '' when nothing is. Works on a copy."""
    shutil.copytree(cut.folder, scratch)
    outbox = Outbox(scratch / "outbox.db", machine="machine-1", max_bytes=1 << 30)
    outbox.open()
    try:
        if outbox.set_aside:
            return "the file is corrupt"
        return next(filter(None, (check_lane(outbox, lane, *said) for lane, said in cut.published.items())), "")
    finally:
        outbox.close()
        shutil.rmtree(scratch)


def check_lane(outbox: Outbox, lane: Lane, last: int, committed: int) -> str:
    found = outbox.marks()[lane]
    if found.last < last:
        return f"{lane}: {last} was published, the outbox ends at {found.last}"
    if found.committed < committed:
        return f"{lane}: {committed} was released, the outbox begins after {found.committed}"
    expected = found.committed + 1
    while batch := outbox.read(lane, expected - 1, 256):
        for stored in batch:
            if stored.seq != expected or not is_itself(lane, stored.seq, stored.payload):
                return f"{lane}: {expected} is missing or another"
            expected += 1
    return "" if expected == found.last + 1 else f"{lane}: {expected} … {found.last} are missing"


def is_itself(lane: Lane, seq: int, payload: bytes) -> bool:
    frame = decode(lane, payload)
    match frame:
        case TelemetryFrame():
            return frame.seq == seq and frame.x[0] == float(seq)
        case EventFrame():
            return frame.seq == seq and frame.ev[0].id == f"e{seq}"
        case _:
            return False


class Outcome(NamedTuple):
    """Cuts, the last frame published, what the last cut has broken, and how many cuts fell into a checkpoint."""

    cuts: int
    last: int
    broken: str
    in_checkpoints: int


def live_until_broken(shim: Path, tmp_path: Path, synchronous: str) -> Outcome:
    """Life after life, each with what a power cut has left of the one before."""
    rng = Random(7)
    disk, base = tmp_path / "disk", tmp_path / "life-0"
    base.mkdir()
    published: Published = {}
    cuts = in_checkpoints = 0
    for life in range(LIVES):
        shutil.rmtree(disk, ignore_errors=True)
        shutil.copytree(base, disk)
        notes = relocated(live(shim, disk, life, synchronous), disk, base)
        made = []
        for moment in moments(notes, rng):
            cut = cut_at(moment.number, notes, base, rng, tmp_path / f"cut-{cuts}", published)
            cuts += 1
            in_checkpoints += moment.in_checkpoint
            made.append(cut)
            if broken := check(cut, tmp_path / "scratch"):
                return Outcome(cuts, cut.published.get(Lane.TEL, (0, 0))[0], broken, in_checkpoints)
        base, published = rng.choice(made)
    return Outcome(cuts, published[Lane.TEL][0], "", in_checkpoints)


def relocated(notes: list[Note], folder: Path, base: Path) -> list[Note]:
    """The notes name the folder in which the process lived; they are played on the one that it began with."""
    old, new = os.fsencode(folder), os.fsencode(base)
    named = {Op.OPEN, Op.UNLINK, Op.RENAME}
    return [note._replace(data=note.data.replace(old, new)) if note.op in named else note for note in notes]


@pytest.mark.timeout(300)
def test_what_was_published_survives_fifty_power_cuts(shim: Path, tmp_path: Path) -> None:
    outcome = live_until_broken(shim, tmp_path, "FULL")
    assert outcome.broken == ""
    assert outcome.cuts == LIVES * CUTS_A_LIFE
    assert outcome.last > 1_000
    assert outcome.in_checkpoints > 5


@pytest.mark.timeout(300)
def test_the_same_cuts_lose_frames_when_the_outbox_does_not_sync(shim: Path, tmp_path: Path) -> None:
    outcome = live_until_broken(shim, tmp_path, "OFF")
    assert outcome.broken != ""


def test_the_journal_sees_all_that_reaches_the_disk(shim: Path, tmp_path: Path) -> None:
    """Played whole and synced, the notes make the same files: nothing of SQLite's goes past them."""
    folder, base = tmp_path / "disk", tmp_path / "base"
    folder.mkdir()
    base.mkdir()
    disk = Disk(base)
    for note in relocated(live(shim, folder, 1, "FULL"), folder, base):
        disk.play(note)
    disk.shut_down(tmp_path / "played")
    played = {path.name: path.read_bytes() for path in (tmp_path / "played").iterdir()}
    assert played == {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
    assert {"outbox.db", "outbox.db-wal"} <= played.keys()
