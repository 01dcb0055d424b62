"""What a disk holds after the power failed: only what was synced is sure, of the rest any part, in any order.

``write_journal.c``, preloaded into a real process, notes every write, sync, truncation and change of names in one
folder. ``Disk`` plays these notes up to a moment and then cuts the power. Of what was not synced by then each sector of
512 bytes may be there or not, whatever was written before or after it; names that were not synced (with their
folder) may be there up to any one of them. That is less than ext4 promises. A sector is never torn: SQLite relies on
that (atomic sector writes, "powersafe overwrite"), and so do we.
"""

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

SECTOR_BYTES: Final = 512
SURVIVAL: Final = (0.0, 0.5, 0.9)
"""Shares of the sectors not synced that a power cut may leave."""
_HEAD: Final = struct.Struct("<ciQI")


class Op(StrEnum):
    """What was done."""

    OPEN = "o"
    CLOSE = "c"
    WRITE = "w"
    TRUNCATE = "t"
    SYNC = "s"
    UNLINK = "u"
    RENAME = "r"


class Note(NamedTuple):
    """One record of the journal; ``offset`` is the flags of an open, the size of a truncation."""

    op: Op
    fd: int
    offset: int
    data: bytes


def build_shim(folder: Path) -> Path:
    """Compile the library to preload."""
    library = folder / "write_journal.so"
    source = Path(__file__).with_name("write_journal.c")
    compiler = shutil.which("cc")
    assert compiler is not None
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl", "-lpthread"], check=True)
    return library


def preloaded(library: Path, folder: Path, journal: Path) -> Mapping[str, str]:
    """The environment of a process whose writes to ``folder`` are noted in ``journal``."""
    return os.environ | {"LD_PRELOAD": str(library), "JOURNAL": str(journal), "JOURNAL_FOLDER": str(folder)}


def read_journal(journal: Path) -> list[Note]:
    """All whole records."""
    return list(_notes(journal.read_bytes()))


def _notes(raw: bytes) -> Iterator[Note]:
    at = 0
    while at + _HEAD.size <= len(raw):
        op, fd, offset, length = _HEAD.unpack_from(raw, at)
        at += _HEAD.size
        yield Note(Op(op.decode()), fd, offset, raw[at : at + length])
        at += length


@dataclass(slots=True)
class _File:
    """Content that is sure, and what was done since the last sync."""

    sure: bytearray
    pending: list[Note] = field(default_factory=list)

    def settle(self, survives: float, rng: Random) -> bytes:
        """What is left of it; ``survives`` is the chance of each sector."""
        for note in self.pending:
            if note.op is Op.TRUNCATE:
                if rng.random() < survives:
                    _resize(self.sure, note.offset)
            else:
                for start, part in _sectors(note):
                    if rng.random() < survives:
                        _put(self.sure, start, part)
        self.pending.clear()
        return bytes(self.sure)


class Disk:
    """The folder as a journal changes it. ``play`` notes in order, then ``cut``, once."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._sure_names = {str(path): _File(bytearray(path.read_bytes())) for path in folder.iterdir()}
        self._names = dict(self._sure_names)
        self._renamings: list[dict[str, _File]] = []
        """The names after each change since the folder was synced."""
        self._open: dict[int, _File | None] = {}

    def play(self, note: Note) -> None:
        """Do what was done."""
        match note.op:
            case Op.OPEN:
                self._open[note.fd] = self._opened(note)
            case Op.CLOSE:
                del self._open[note.fd]
            case Op.WRITE | Op.TRUNCATE:
                file = self._open[note.fd]
                assert file is not None
                file.pending.append(note)
            case Op.SYNC:
                self._sync(self._open[note.fd])
            case Op.UNLINK:
                del self._names[note.data.decode()]
                self._renamings.append(dict(self._names))
            case Op.RENAME:
                old, new = note.data.decode().split("\0")
                self._names[new] = self._names.pop(old)
                self._renamings.append(dict(self._names))

    def cut(self, rng: Random, into: Path) -> None:
        """The power fails: write what is left to the new folder ``into``."""
        into.mkdir()
        states = [self._sure_names, *self._renamings]
        for name, file in states[rng.randrange(len(states))].items():
            content = file.settle(rng.choice(SURVIVAL), rng)
            (into / Path(name).name).write_bytes(content)

    def shut_down(self, into: Path) -> None:
        """The opposite: everything reaches the disk first. For tests of the journal itself."""
        into.mkdir()
        for name, file in self._names.items():
            (into / Path(name).name).write_bytes(file.settle(1.0, Random(0)))

    def _opened(self, note: Note) -> _File | None:
        name = note.data.decode()
        if name.rstrip("/") == self._folder:
            return None
        file = self._names.get(name)
        if file is None:
            file = self._names[name] = _File(bytearray())
            self._renamings.append(dict(self._names))
        assert not note.offset & os.O_TRUNC, "truncation on opening is not modelled"
        return file

    def _sync(self, file: _File | None) -> None:
        if file is None:
            self._sure_names = dict(self._names)
            self._renamings.clear()
        else:
            file.settle(1.0, Random(0))


def _sectors(note: Note) -> Iterator[tuple[int, bytes]]:
    start, end = note.offset, note.offset + len(note.data)
    while start < end:
        stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        yield start, note.data[start - note.offset : stop - note.offset]
        start = stop


def _put(content: bytearray, start: int, part: bytes) -> None:
    if len(content) < start:
        _resize(content, start)
    content[start : start + len(part)] = part


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))
