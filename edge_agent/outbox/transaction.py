"""One transaction on the outbox file: frames in, frames out, gaps, the lanes' accounts and the ledger's entry.

Everything that changes the file goes through here, so that frames, accounts and ledger can never disagree.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

import msgspec
import structlog

from contracts.frames import AnyFrame, Gap, GapReason, Previous, digest, encode
from contracts.topics import Lane
from edge_agent.clock import Instant
from edge_agent.outbox import ledger, queries
from edge_agent.outbox.ledger import DIGEST_MODULUS, LedgerEntry, Part
from edge_agent.outbox.state import Entry, State
from edge_agent.outbox.store import gap_frame

GAPS_KEPT_MAX: Final = 1_000
RECORDS_KEPT_MAX: Final = 2_000
"""About 2 MB, and weeks of a busy shelf."""

log = structlog.get_logger()


@contextmanager
def immediate(db: sqlite3.Connection) -> Iterator[None]:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK when something is raised. On the disk when it is left."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


class Transaction:
    """Changes of the file within ``immediate``; ``close`` is its last step, then ``state`` is what the file holds.

    ``now``: a clock that is not disciplined dates no frame, so that no frame is taken for old by mistake.
    """

    def __init__(
        self, db: sqlite3.Connection, state: State, ep: str, previous: Mapping[Lane, Previous], now: Instant
    ) -> None:
        self.db = db
        self.state = state
        self._before = state.copy()
        self._ep = ep
        self._previous = previous
        self._now = now
        self._rows: list[dict[str, object]] = []
        self._written: dict[Lane, list[int]] = {}
        self._gaps: list[Part] = []

    def add(self, entry: Entry) -> None:
        """Number a frame and put it in, with the memories that it brings."""
        account = self.state.lanes[entry.lane]
        seq = account.last + 1
        previous = self._previous.get(entry.lane) if seq == 1 else None
        frame = msgspec.structs.replace(entry.frame, ep=self._ep, seq=seq, prev=previous)
        hashed = digest(frame)
        self._insert(entry.lane, frame, entry.readings, hashed)
        account.digest = (account.digest + hashed) % DIGEST_MODULUS
        self._written.setdefault(entry.lane, []).append(hashed)
        account.last = seq
        account.frames += 1
        account.readings += entry.readings
        self.keep(entry.slots)
        if entry.records:
            self.db.executemany(queries.ADD_RECORD, [{"record": record} for record in entry.records])
            self.db.execute(queries.TRIM_RECORDS, {"keep": RECORDS_KEPT_MAX})

    def keep(self, slots: Mapping[str, bytes]) -> None:
        """Put in what the inference knows of slots."""
        for slot, memory in slots.items():
            self.db.execute(queries.PUT_SLOT, {"slot": slot, "memory": memory})

    def release(self, lane: Lane, seq: int) -> None:
        """Take out the frames up to ``seq``: they are committed."""
        account = self.state.lanes[lane]
        self._forget(lane, account.committed + 1, seq)
        account.committed = max(account.committed, seq)

    def give_up(self, lane: Lane, gap: Gap) -> None:
        """Put a gap frame in the place of the frames that it names; their digests leave the running sum."""
        self.flush()
        account = self.state.lanes[lane]
        place = {"lane": lane.value, "from_seq": gap.from_, "to_seq": gap.to}
        for _, readings, _, hashed, _ in self.db.execute(queries.KEPT, place | {"limit": -1}).fetchall():
            account.digest = (account.digest - int(hashed, 16)) % DIGEST_MODULUS
            account.lost += readings
        self._forget(lane, gap.from_, gap.to)
        frame = gap_frame(lane, self._ep, gap, self._previous.get(lane))
        hashed = digest(frame)
        # A released gap stands for frames that the sum has already, and had when they were committed.
        counted = 0 if gap.reason is GapReason.RELEASED else hashed
        self._insert(lane, frame, 0, counted)
        account.digest = (account.digest + counted) % DIGEST_MODULUS
        account.committed = min(account.committed, gap.from_ - 1)
        self.db.execute(queries.ADD_GAP, place | {"at_ms": self._now.utc_ms, "reason": gap.reason.value})
        self.db.execute(queries.TRIM_GAPS, {"keep": GAPS_KEPT_MAX})
        self._gaps.append(Part(lane, gap.from_, gap.to, ledger.digits([hashed]), gap=gap.reason))
        log.warning("frames_given_up", lane=lane.value, first=gap.from_, last=gap.to, reason=gap.reason.value)

    def flush(self) -> None:
        """Bring the frames that were added into the file, so that they can be asked for."""
        if self._rows:
            self.db.executemany(queries.ADD_FRAME, self._rows)
            self._rows.clear()

    def close(self) -> None:
        """Bring in what is left: frames, the accounts of the lanes that changed, and the ledger's entry."""
        self.flush()
        parts = [self._part(lane, digests) for lane, digests in self._written.items()] + self._gaps
        for lane, account in self.state.lanes.items():
            if account != self._before.lanes[lane]:
                self.db.execute(queries.PUT_LANE, account.row(lane))
        if parts:
            self._append(parts)

    def _part(self, lane: Lane, digests: list[int]) -> Part:
        account = self.state.lanes[lane]
        readings = account.readings - self._before.lanes[lane].readings
        return Part(lane, account.last - len(digests) + 1, account.last, ledger.digits(digests), readings)

    def _append(self, parts: list[Part]) -> None:
        chain = self.state.chain
        entry = ledger.chained(LedgerEntry(chain.last + 1, self._now.utc_ms, parts), chain.hash)
        digests = sum(len(part.digests) for part in parts) // ledger.DIGEST_DIGITS
        self.db.execute(queries.ADD_ENTRY, {"n": entry.n, "digests": digests, "line": ledger.encode(entry)})
        chain.last, chain.hash = entry.n, entry.hash
        chain.digests += digests

    def _insert(self, lane: Lane, frame: AnyFrame, readings: int, hashed: int) -> None:
        payload = encode(frame)
        self._rows.append(
            {
                "lane": lane.value,
                "seq": frame.seq,
                "at_ms": self._now.utc_ms if self._now.synced else 0,
                "readings": readings,
                "is_gap": frame.gap is not None,
                "digest": f"{hashed:x}",
                "payload": payload,
            }
        )
        self.state.bytes += len(payload)
        self.state.frames += 1

    def _forget(self, lane: Lane, first: int, last: int) -> None:
        place = {"lane": lane.value, "from_seq": first, "to_seq": last}
        size, frames = self.db.execute(queries.BYTES_BETWEEN, place).fetchone()
        self.db.execute(queries.FORGET, place)
        self.state.bytes -= size
        self.state.frames -= frames
