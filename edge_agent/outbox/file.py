"""The SQLite file that keeps every frame until the platform has committed it.

One transaction writes a batch of frames with their sequence numbers, the lanes' running accounts, the ledger's entry
and what the inference knows, and is on the disk when it returns. ``writer.OutboxWriter`` gathers the batches,
``transaction`` says what a transaction does, ``eviction`` what leaves, ``opening`` how a file begins and ends.
"""

import hashlib
import math
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import structlog

from contracts.frames import Gap, GapReason
from contracts.presence import OutboxDepth, Sent
from contracts.topics import Lane
from edge_agent.clock import Clock, SystemClock
from edge_agent.outbox import eviction, opening, queries
from edge_agent.outbox.eviction import LEDGER_LIMITS, LedgerLimits
from edge_agent.outbox.failures import OutboxFullError, is_corrupt, is_full
from edge_agent.outbox.opening import Inherited, Opened, UselessError
from edge_agent.outbox.state import Entry, State
from edge_agent.outbox.store import READ_MAX, Marks, Stored, gap_frame
from edge_agent.outbox.transaction import Transaction, immediate

__all__ = ["Entry", "Outbox", "OutboxFullError"]

AGE_EVERY_MS: Final = 60_000
"""How often old frames are looked for."""
VACUUM_EVERY_MS: Final = 1_000
VACUUM_PAGES: Final = 512
"""Pages (2 MiB) that are given back at once, so that no write waits for long."""
FREE_PAGES_MAX: Final = 1_024
"""Free pages that the file may keep for what comes next."""

_T = TypeVar("_T")
log = structlog.get_logger()


class Outbox:
    """A ``FrameStore`` in a file. ``open`` it, ``close`` it; everything else is safe from several threads.

    ``machine`` identifies this machine: a file that was made on another one is set aside, since two agents that
    number frames alike would lose each other's. A corrupt file is set aside too; both begin a new incarnation that
    names the old one in ``prev``. ``max_bytes`` of payloads wait at most, none longer than ``max_age_s``; what is
    over is given up, and said so by gap frames.
    """

    def __init__(
        self,
        path: Path,
        *,
        machine: str,
        max_bytes: int,
        max_age_s: float = math.inf,
        clock: Clock | None = None,
        ledger_limits: LedgerLimits = LEDGER_LIMITS,
    ) -> None:
        self._path = path
        self._machine = hashlib.sha256(machine.encode()).hexdigest()
        self._max_bytes = max_bytes
        self._max_age_ms = max_age_s * 1000
        self._clock = clock or SystemClock()
        self._ledger_limits = ledger_limits
        self._lock = threading.RLock()
        self._released: dict[Lane, int] = {}
        self._callbacks: list[Callable[[], None]] = []
        self._opened: Opened | None = None
        self._inherited = Inherited({})
        self._is_closed = True
        self._ep = ""
        self._aged_ms = self._vacuumed_ms = -math.inf
        self.set_aside = 0
        """Files that were set aside since this object was made: an alarm when it grows."""

    # ------------------------------------------------------------------ life

    def open(self) -> None:
        """Open or make the file. Raises OutboxFullError."""
        with self._lock, self._translated("open"):
            self._is_closed = False
            if not self._path.exists():
                self._inherited = opening.salvage_newest(self._path)
            self._open()

    def close(self) -> None:
        """Close the file. What was committed is in it."""
        with self._lock:
            if self._opened is not None:
                with suppress(OutboxFullError):
                    self.write([])
            if self._opened is not None:
                self._opened.db.close()
                self._opened = None
            self._is_closed = True

    def _open(self) -> None:
        """Open the file, or make the one that follows what was inherited. Raises sqlite3.Error, OSError."""
        db: sqlite3.Connection | None = None
        try:
            db = opening.connect(self._path)
            self._opened = opening.load(db, self._machine, self._inherited)
            self._ep = self._opened.ep
        except UselessError as error:
            assert db is not None
            self._begin_anew(error.why, str(error), opening.salvage(db), db)
        except sqlite3.Error as error:
            if not is_corrupt(error):
                if db is not None:
                    db.close()
                raise
            self._begin_anew("corrupt", str(error), Inherited({}) if db is None else opening.salvage(db), db)

    def _begin_anew(self, why: str, detail: str, known: Inherited, db: sqlite3.Connection | None) -> None:
        """Set the file aside and begin a new incarnation that names the old one, as far as it is known."""
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()
        self._opened, self._ep, self._inherited = None, "", known
        aside = opening.set_aside(self._path, why, self._clock.now().utc_ms)
        self.set_aside += 1
        log.error("outbox_set_aside", why=why, detail=detail, kept_as=str(aside), previous=dict(known.previous))
        self._released.clear()
        self._open()
        if why == "corrupt":
            self._declare(known.lost - {Lane.TEL})

    def _abandon(self, why: str, detail: str) -> None:
        """The same for the file that is open: memory knows it better than the disk."""
        opened = self._file
        known = opening.inherit(opened.ep, opened.state.lanes, opened.previous, opened.state.chain.hash)
        self._begin_anew(why, detail, known, opened.db)

    def _declare(self, lanes: Collection[Lane]) -> None:
        """Say what was lost on lanes whose next frame, which says it by its ``prev``, may be long in coming."""

        def change(transaction: Transaction) -> None:
            for lane in lanes:
                transaction.add(Entry(lane, gap_frame(lane, self._ep, Gap(1, 1, GapReason.CORRUPT)), 0))

        try:
            self._transact(change)
        except sqlite3.Error as error:
            log.warning("loss_not_declared_yet", error=str(error))

    @property
    def _file(self) -> Opened:
        """Raises OutboxFullError while a file that was set aside has no successor: the disk does not take one."""
        assert not self._is_closed, "the outbox is not open"
        if self._opened is None:
            msg = f"{self._path} cannot be made anew yet"
            raise OutboxFullError(msg)
        return self._opened

    @property
    def _held(self) -> State:
        """What the file holds; nothing while there is none, or it was closed (the watchdog may still ask)."""
        return State() if self._opened is None else self._opened.state

    @contextmanager
    def _translated(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, sqlite3.Error) and not is_full(error):
                raise
            msg = f"cannot {verb} {self._path}: {error}"
            raise OutboxFullError(msg) from error

    # ------------------------------------------------------------------ writing

    def write(self, entries: Sequence[Entry], slots: Mapping[str, bytes] = {}) -> None:
        """Write frames, in one transaction that is on the disk when this returns. Raises OutboxFullError.

        Gives them their sequence numbers, applies what was released meanwhile, and evicts when over the caps.
        """

        def change(transaction: Transaction) -> None:
            for entry in entries:
                transaction.add(entry)
            transaction.keep(slots)
            self._evict(transaction)

        with self._lock:
            self._change("write", change)
            self._give_back()
        if entries:
            for callback in self._callbacks:
                callback()

    def give_up(self, lane: Lane, gap: Gap) -> None:
        """See FrameStore. Raises OutboxFullError."""
        with self._lock:
            ep = self.ep

            def change(transaction: Transaction) -> None:
                if self.ep == ep:  # else the file was found corrupt: there is nothing left to give up
                    transaction.give_up(lane, gap)

            self._change("write", change)

    def _change(self, verb: str, change: Callable[[Transaction], None]) -> None:
        """Run one transaction; on a file that turns out to be corrupt, on the one that takes its place."""
        with self._translated(verb):
            if self._opened is None and not self._is_closed:
                self._open()
            try:
                self._transact(change)
            except sqlite3.Error as error:
                if not is_corrupt(error):
                    raise
                self._abandon("corrupt", str(error))
                self._transact(change)

    def _transact(self, change: Callable[[Transaction], None]) -> None:
        opened = self._file
        released = dict(self._released)
        with immediate(opened.db):
            now = self._clock.now()
            transaction = Transaction(opened.db, opened.state.copy(), opened.ep, opened.previous, now)
            for lane, seq in released.items():
                transaction.release(lane, seq)
            change(transaction)
            transaction.close()
            eviction.fold_ledger(transaction, self._ledger_limits)
        opened.state = transaction.state
        for lane, seq in released.items():
            if self._released.get(lane) == seq:
                del self._released[lane]

    def _evict(self, transaction: Transaction) -> None:
        eviction.evict_bytes(transaction, self._max_bytes)
        now = self._clock.now()
        # Under a clock that nobody believes, nothing is old.
        if self._max_age_ms < math.inf and now.synced and now.mono_ms - self._aged_ms >= AGE_EVERY_MS:
            eviction.evict_older(transaction, now.utc_ms - round(self._max_age_ms))
            self._aged_ms = now.mono_ms

    def _give_back(self) -> None:
        """Shorten the file a little when an outage has made it much longer than it need be."""
        mono_ms = self._clock.now().mono_ms
        if mono_ms - self._vacuumed_ms < VACUUM_EVERY_MS:
            return
        self._vacuumed_ms = mono_ms
        db = self._file.db
        try:
            (free,), (pages,) = db.execute(queries.FREE_PAGES).fetchone(), db.execute(queries.PAGES).fetchone()
            if free > max(FREE_PAGES_MAX, pages // 4):
                db.execute(queries.GIVE_BACK.format(pages=VACUUM_PAGES)).fetchall()
        except sqlite3.Error as error:
            # The frames are on the disk already; whoever writes next meets what is wrong.
            log.warning("outbox_not_shortened", error=str(error))

    # ------------------------------------------------------------------ FrameStore

    @property
    def ep(self) -> str:
        """See FrameStore. '' before the file was opened."""
        return self._ep

    def marks(self) -> Mapping[Lane, Marks]:
        """See FrameStore."""
        with self._lock:
            return {
                lane: Marks(max(account.committed, self._released.get(lane, 0)), account.last)
                for lane, account in self._held.lanes.items()
            }

    def read(self, lane: Lane, after: int, limit: int) -> list[Stored]:
        """See FrameStore. Nothing, and a log line, while the disk cannot be read."""
        place = {"lane": lane.value, "after": after, "limit": min(limit, READ_MAX)}
        return self._read(lambda db: [Stored(seq, payload) for seq, payload in db.execute(queries.READ, place)], list)

    def release(self, lane: Lane, seq: int) -> None:
        """See FrameStore. Takes effect in the file with the next ``write``: a resend would do no harm."""
        with self._lock:
            self._released[lane] = max(seq, self._released.get(lane, 0))

    def renew(self) -> None:
        """See FrameStore. Raises OutboxFullError."""
        with self._lock, self._translated("renew"):
            self._abandon("restored", "the platform has frames of this incarnation that the file does not")

    def depth(self) -> OutboxDepth:
        """See FrameStore. Frames whose age no clock knew are left out of ``oldest_s``."""
        with self._lock:
            heads: list[int] = self._read(_heads_ms, list)
            oldest_ms = min((at_ms for at_ms in heads if at_ms), default=None)
            age_s = 0.0 if oldest_ms is None else max(0.0, (self._clock.now().utc_ms - oldest_ms) / 1000)
            return OutboxDepth(frames=self._held.frames, oldest_s=round(age_s, 1))

    def sent(self) -> Mapping[str, Sent]:
        """See FrameStore."""
        with self._lock:
            gaps = Counter[str]()
            for (name, _), frames in self.gap_totals().items():
                gaps[name] += frames
            return {
                lane.value: Sent(self.ep, account.last, f"{account.digest:x}", gaps[lane.value])
                for lane, account in self._held.lanes.items()
                if account.last
            }

    def size_bytes(self) -> int:
        """Bytes of the frames that wait."""
        with self._lock:
            return self._held.bytes

    def gap_totals(self) -> dict[tuple[str, str], int]:
        """Frames in the gaps that are remembered, by lane and reason."""
        return self._read(
            lambda db: {(lane, reason): frames for lane, reason, frames in db.execute(queries.GAP_TOTALS)}, dict
        )

    def subscribe(self, callback: Callable[[], None]) -> None:
        """See FrameStore."""
        self._callbacks.append(callback)

    # ------------------------------------------------------------------ inference

    def slots(self) -> dict[str, bytes]:
        """What the inference had last written, by slot."""
        return self._read(lambda db: dict(db.execute(queries.SLOTS)), dict)

    def has_releases(self) -> bool:
        """Whether something was released that the file still holds."""
        with self._lock:
            return bool(self._released)

    def _read(self, ask: Callable[[sqlite3.Connection], _T], nothing: Callable[[], _T]) -> _T:
        """Ask the file; a corrupt one is set aside, one that cannot be read now has nothing to say."""
        with self._lock:
            if self._opened is None:
                return nothing()
            try:
                return ask(self._file.db)
            except sqlite3.Error as error:
                if is_corrupt(error):
                    with suppress(OutboxFullError), self._translated("renew"):
                        self._abandon("corrupt", str(error))
                elif is_full(error):
                    log.warning("outbox_unreadable", error=str(error))
                else:
                    raise
                return nothing()


def _heads_ms(db: sqlite3.Connection) -> list[int]:
    """When the oldest frame of each lane was written, 0 where no clock knew."""
    rows = (db.execute(queries.OLDEST_AT, {"lane": lane.value}).fetchone() for lane in Lane)
    return [row[0] for row in rows if row is not None]
