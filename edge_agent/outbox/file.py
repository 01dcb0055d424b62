"""The SQLite file that keeps every frame until the platform has committed it.

One transaction writes a batch of frames with their sequence numbers, the lanes' running accounts and what the
inference knows, and is on the disk when it returns. ``writer.OutboxWriter`` gathers the batches.
"""

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import structlog

from contracts.frames import AnyFrame, Gap, GapReason, Previous, digest, encode
from contracts.presence import OutboxDepth, Sent
from contracts.topics import Lane
from edge_agent.outbox import queries
from edge_agent.outbox.store import DIGEST_MODULUS, READ_MAX, Marks, Stored, gap_frame

EVICTION_ORDER: Final = (Lane.BULK, Lane.TEL, Lane.RSP, Lane.EVT)
EVICT_TO_SHARE: Final = 0.95
"""How far an eviction empties the file, so that it is rare and its gaps are few."""
EVICT_FRAMES_MAX: Final = 1_000
"""Frames that one eviction step looks at."""
GAPS_KEPT_MAX: Final = 1_000
_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

log = structlog.get_logger()


class OutboxFullError(Exception):
    """The file cannot be written now (disk full, file size limit, read-only file system)."""


class Entry(NamedTuple):
    """A frame to write; its ``ep``, ``seq`` and ``prev`` are set when it is. ``slots``: memories written with it."""

    lane: Lane
    frame: AnyFrame
    readings: int
    slots: Mapping[str, bytes] = {}


@dataclass(slots=True)
class _Account:
    committed: int = 0
    last: int = 0
    frames: int = 0
    readings: int = 0
    lost: int = 0
    digest: int = 0


@dataclass(slots=True)
class _State:
    """What the file holds, in memory; replaced as a whole when a transaction has succeeded."""

    lanes: dict[Lane, _Account] = field(default_factory=lambda: {lane: _Account() for lane in Lane})
    bytes: int = 0

    def copy(self) -> "_State":
        return _State({lane: _replaced(account) for lane, account in self.lanes.items()}, self.bytes)


class Outbox:
    """A ``FrameStore`` in a file. ``open`` it, ``close`` it; everything else is safe from several threads.

    ``machine`` identifies this machine: a file that was made on another one is set aside, since two agents that
    number frames alike would lose each other's. A corrupt file is set aside too; both begin a new incarnation that
    names the old one in ``prev``.
    """

    def __init__(
        self, path: Path, *, machine: str, max_bytes: int, now_ms: Callable[[], int] = lambda: int(time.time() * 1000)
    ) -> None:
        self._path = path
        self._machine = hashlib.sha256(machine.encode()).hexdigest()
        self._max_bytes = max_bytes
        self._now_ms = now_ms
        self._lock = threading.RLock()
        self._released: dict[Lane, int] = {}
        self._callbacks: list[Callable[[], None]] = []
        self._state = _State()
        self._ep = ""
        self._previous: dict[Lane, Previous] = {}
        self._db: sqlite3.Connection | None = None

    # ------------------------------------------------------------------ life

    def open(self) -> None:
        """Open or make the file. Raises OutboxFullError."""
        with self._lock:
            try:
                self._open()
            except sqlite3.DatabaseError as error:
                if _is_full(error):
                    msg = f"cannot open {self._path}: {error}"
                    raise OutboxFullError(msg) from error
                if not _is_corrupt(error):
                    raise
                self._begin_anew("corrupt", str(error))

    def close(self) -> None:
        """Close the file. What was committed is in it."""
        with self._lock:
            if self._db is not None:
                with suppress(sqlite3.Error):
                    self._write([])
                self._db.close()
                self._db = None

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._path.chmod(0o600)
        for pragma in queries.PRAGMAS:
            self._db.execute(pragma).fetchall()
        (verdict,) = self._db.execute(queries.CHECK).fetchone()
        if verdict != "ok":
            error = sqlite3.DatabaseError(verdict)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        (version,) = self._db.execute(queries.GET_VERSION).fetchone()
        (has_tables,) = self._db.execute(queries.HAS_TABLES).fetchone()
        if has_tables and version != queries.SCHEMA_VERSION:
            self._begin_anew("outdated", f"the file is of version {version}, ours is {queries.SCHEMA_VERSION}")
            return
        self._db.executescript(queries.SCHEMA)
        self._db.execute(queries.PUT_VERSION)
        machine = self._meta("machine")
        if machine is None:
            self._make()
        elif machine != self._machine:
            self._begin_anew("cloned", "the file was made on another machine")
            return
        self._load()

    def _make(self) -> None:
        ep = _new_ep(self._machine)
        previous = {lane.value: [p.ep, p.seq] for lane, p in self._previous.items()}
        with self._transaction() as db:
            for lane in Lane:
                db.execute(queries.ADD_LANE, {"lane": lane.value})
            for key, value in (("machine", self._machine), ("previous", json.dumps(previous)), ("ep", ep)):
                db.execute(queries.PUT_META, {"key": key, "value": value})

    def _load(self) -> None:
        assert self._db is not None
        ep = self._meta("ep")
        assert ep is not None
        self._ep = ep
        previous = json.loads(self._meta("previous") or "{}")
        self._previous = {Lane(lane): Previous(ep, seq) for lane, (ep, seq) in previous.items()}
        state = _State()
        for lane, committed, last, frames, readings, lost, hashed in self._db.execute(queries.LANES):
            state.lanes[Lane(lane)] = _Account(committed, last, frames, readings, lost, int(hashed, 16))
        (state.bytes,) = self._db.execute(queries.BYTES).fetchone()
        self._state = state
        self._released.clear()

    def _begin_anew(self, why: str, detail: str) -> None:
        """Set the file aside and begin a new incarnation that names the old one, as far as it can be read."""
        known = self._salvage()
        if self._db is not None:
            self._db.close()
            self._db = None
        aside = self._path.with_name(f"{self._path.name}.{why}-{self._now_ms()}")
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).rename(f"{aside}{suffix}")
        log.error("outbox_set_aside", why=why, detail=detail, kept_as=str(aside), previous=known)
        self._previous = known
        self._open()

    def _salvage(self) -> dict[Lane, Previous]:
        if self._ep:
            return {lane: Previous(self._ep, account.last) for lane, account in self._state.lanes.items()}
        if self._db is None:
            return {}
        try:
            ep = self._meta("ep")
            rows = self._db.execute(queries.LANES).fetchall()
        except sqlite3.DatabaseError:
            return {}
        return {Lane(row[0]): Previous(ep, row[2]) for row in rows} if ep else {}

    def _meta(self, key: str) -> str | None:
        assert self._db is not None
        row = self._db.execute(queries.GET_META, {"key": key}).fetchone()
        return None if row is None else str(row[0])

    # ------------------------------------------------------------------ writing

    def write(self, entries: Sequence[Entry], slots: Mapping[str, bytes] = {}) -> None:
        """Write frames, in one transaction that is on the disk when this returns. Raises OutboxFullError.

        Gives them their sequence numbers, applies what was released meanwhile, and evicts when over the cap.
        """
        with self._lock:
            try:
                self._write(entries, slots)
            except sqlite3.DatabaseError as error:
                if _is_full(error):
                    msg = f"cannot write {self._path}: {error}"
                    raise OutboxFullError(msg) from error
                if not _is_corrupt(error):
                    raise
                self._begin_anew("corrupt", str(error))
                self._write(entries, slots)
        if entries:
            for callback in self._callbacks:
                callback()

    def _write(self, entries: Sequence[Entry], slots: Mapping[str, bytes] = {}) -> None:
        state = self._state.copy()
        released = dict(self._released)
        with self._transaction() as db:
            self._apply_releases(db, state, released)
            for entry in entries:
                self._add(db, state, entry)
                for slot, memory in entry.slots.items():
                    db.execute(queries.PUT_SLOT, {"slot": slot, "memory": memory})
            for slot, memory in slots.items():
                db.execute(queries.PUT_SLOT, {"slot": slot, "memory": memory})
            self._evict(db, state)
            for lane, account in state.lanes.items():
                if account != self._state.lanes[lane]:
                    db.execute(queries.PUT_LANE, _lane_row(lane, account))
        self._state = state
        for lane, seq in released.items():
            if self._released.get(lane) == seq:
                del self._released[lane]

    def _add(self, db: sqlite3.Connection, state: _State, entry: Entry) -> None:
        account = state.lanes[entry.lane]
        seq = account.last + 1
        previous = self._previous.get(entry.lane) if seq == 1 else None
        frame = msgspec.structs.replace(entry.frame, ep=self._ep, seq=seq, prev=previous)
        self._insert(db, state, entry.lane, frame, entry.readings)
        account.last = seq
        account.frames += 1
        account.readings += entry.readings

    def _insert(self, db: sqlite3.Connection, state: _State, lane: Lane, frame: AnyFrame, readings: int) -> None:
        payload = encode(frame)
        # A released gap stands for frames that the sum has already, and had when they were committed.
        counts = frame.gap is None or frame.gap.reason is not GapReason.RELEASED
        hashed = digest(frame) if counts else 0
        db.execute(
            queries.ADD_FRAME,
            {
                "lane": lane.value,
                "seq": frame.seq,
                "at_ms": self._now_ms(),
                "readings": readings,
                "is_gap": frame.gap is not None,
                "digest": f"{hashed:x}",
                "payload": payload,
            },
        )
        account = state.lanes[lane]
        account.digest = (account.digest + hashed) % DIGEST_MODULUS
        state.bytes += len(payload)

    @staticmethod
    def _apply_releases(db: sqlite3.Connection, state: _State, released: Mapping[Lane, int]) -> None:
        for lane, seq in released.items():
            account = state.lanes[lane]
            place = {"lane": lane.value, "from_seq": account.committed + 1, "to_seq": seq}
            (size,) = db.execute(queries.BYTES_BETWEEN, place).fetchone()
            db.execute(queries.FORGET, place)
            account.committed = max(account.committed, seq)
            state.bytes -= size

    def _evict(self, db: sqlite3.Connection, state: _State) -> None:
        """Give up the oldest frames of the least important lanes until the cap holds again."""
        if state.bytes <= self._max_bytes:
            return
        goal = int(self._max_bytes * EVICT_TO_SHARE)
        for lane in EVICTION_ORDER:
            while state.bytes > goal:
                account = state.lanes[lane]
                last = self._last_to_evict(db, lane, account, state.bytes - goal)
                if last is None:
                    break
                self._replace(db, state, lane, Gap(account.committed + 1, last, GapReason.EVICTED))

    @staticmethod
    def _last_to_evict(db: sqlite3.Connection, lane: Lane, account: _Account, excess: int) -> int | None:
        """The last of the oldest frames that free ``excess`` bytes; None when the lane has nothing to give."""
        place = {"lane": lane.value, "from_seq": account.committed + 1, "to_seq": account.last}
        rows = db.execute(queries.KEPT, place | {"limit": EVICT_FRAMES_MAX}).fetchall()
        last, freed = None, 0
        for seq, _, is_gap, _, size in rows:
            if is_gap:
                continue  # it would only be replaced by another
            last, freed = int(seq), freed + size
            if freed >= excess:
                break
        return last

    def _replace(self, db: sqlite3.Connection, state: _State, lane: Lane, gap: Gap) -> None:
        """A gap frame in the place of the frames that it names; their digests leave the running sum."""
        account = state.lanes[lane]
        place = {"lane": lane.value, "from_seq": gap.from_, "to_seq": gap.to}
        for _, readings, _, hashed, size in db.execute(queries.KEPT, place | {"limit": -1}).fetchall():
            account.digest = (account.digest - int(hashed, 16)) % DIGEST_MODULUS
            account.lost += readings
            state.bytes -= size
        db.execute(queries.FORGET, place)
        self._insert(db, state, lane, gap_frame(lane, self._ep, gap, self._previous.get(lane)), 0)
        account.committed = min(account.committed, gap.from_ - 1)
        db.execute(queries.ADD_GAP, place | {"at_ms": self._now_ms(), "reason": gap.reason.value})
        db.execute(queries.TRIM_GAPS, {"keep": GAPS_KEPT_MAX})
        log.warning("frames_given_up", lane=lane.value, first=gap.from_, last=gap.to, reason=gap.reason.value)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        assert self._db is not None, "the outbox is not open"
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    # ------------------------------------------------------------------ FrameStore

    @property
    def ep(self) -> str:
        """See FrameStore."""
        return self._ep

    def marks(self) -> Mapping[Lane, Marks]:
        """See FrameStore."""
        with self._lock:
            return {
                lane: Marks(max(account.committed, self._released.get(lane, 0)), account.last)
                for lane, account in self._state.lanes.items()
            }

    def read(self, lane: Lane, after: int, limit: int) -> list[Stored]:
        """See FrameStore."""
        with self._lock:
            assert self._db is not None
            place = {"lane": lane.value, "after": after, "limit": min(limit, READ_MAX)}
            try:
                return [Stored(seq, payload) for seq, payload in self._db.execute(queries.READ, place)]
            except sqlite3.DatabaseError as error:
                if not _is_corrupt(error):
                    raise
                self._begin_anew("corrupt", str(error))
                return []

    def release(self, lane: Lane, seq: int) -> None:
        """See FrameStore. Takes effect in the file with the next ``write``: a resend would do no harm."""
        with self._lock:
            self._released[lane] = max(seq, self._released.get(lane, 0))

    def give_up(self, lane: Lane, gap: Gap) -> None:
        """See FrameStore. Raises OutboxFullError."""
        with self._lock:
            ep = self.ep
            self.write([])
            if self.ep != ep:
                return  # the file was found corrupt: there is nothing left to give up
            state = self._state.copy()
            try:
                with self._transaction() as db:
                    self._replace(db, state, lane, gap)
                    db.execute(queries.PUT_LANE, _lane_row(lane, state.lanes[lane]))
            except sqlite3.DatabaseError as error:
                if _is_corrupt(error):
                    self._begin_anew("corrupt", str(error))
                    return
                if not _is_full(error):
                    raise
                msg = f"cannot write {self._path}: {error}"
                raise OutboxFullError(msg) from error
            self._state = state

    def renew(self) -> None:
        """See FrameStore."""
        with self._lock:
            self._begin_anew("restored", "the platform has frames of this incarnation that the file does not")

    def depth(self) -> OutboxDepth:
        """See FrameStore."""
        with self._lock:
            assert self._db is not None
            frames, oldest_ms = self._db.execute(queries.DEPTH).fetchone()
        age_s = 0.0 if oldest_ms is None else max(0.0, (self._now_ms() - oldest_ms) / 1000)
        return OutboxDepth(frames=frames, oldest_s=round(age_s, 1))

    def sent(self) -> Mapping[str, Sent]:
        """See FrameStore."""
        with self._lock:
            return {
                lane.value: Sent(self._ep, account.last, f"{account.digest:x}")
                for lane, account in self._state.lanes.items()
                if account.last
            }

    def subscribe(self, callback: Callable[[], None]) -> None:
        """See FrameStore."""
        self._callbacks.append(callback)

    # ------------------------------------------------------------------ inference

    def slots(self) -> dict[str, bytes]:
        """What the inference had last written, by slot."""
        with self._lock:
            assert self._db is not None
            return dict(self._db.execute(queries.SLOTS))

    def has_releases(self) -> bool:
        """Whether something was released that the file still holds."""
        with self._lock:
            return bool(self._released)


def _lane_row(lane: Lane, account: _Account) -> dict[str, str | int]:
    return {
        "lane": lane.value,
        "committed": account.committed,
        "last": account.last,
        "frames": account.frames,
        "readings": account.readings,
        "lost": account.lost,
        "digest": f"{account.digest:x}",
    }


def _replaced(account: _Account) -> _Account:
    return _Account(account.committed, account.last, account.frames, account.readings, account.lost, account.digest)


def _new_ep(machine: str) -> str:
    """A name for an incarnation: random, with the machine hashed in."""
    return hashlib.sha256(machine.encode() + os.urandom(16)).hexdigest()[:10]


def _is_full(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT
