"""What leaves the outbox when it is too full, too old, or (of the ledger) too long. Works within a transaction.

Readings of the past go first, decisions last: ``EVICTION_ORDER``. What goes is declared by gap frames.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from contracts.frames import Gap, GapReason
from contracts.topics import Lane
from edge_agent.outbox import ledger, queries
from edge_agent.outbox.transaction import Transaction

EVICTION_ORDER: Final = (Lane.BULK, Lane.TEL, Lane.RSP, Lane.EVT)
EVICT_TO_SHARE: Final = 0.95
"""How far an eviction empties the file, so that it is rare and its gaps are few."""
EVICT_FRAMES_MAX: Final = 1_000
"""Frames that one eviction step looks at."""
FOLD_ENTRIES: Final = 1_000
"""Entries of the ledger that are folded into its seal at once."""
LEDGER_ENTRIES_MAX: Final = 250_000
LEDGER_DIGESTS_MAX: Final = 1_000_000
"""What the ledger keeps: about 17 hours at four commits a second, and at most 60 MiB; the seal has the rest."""


@dataclass(frozen=True, slots=True)
class LedgerLimits:
    """How much of the ledger is kept in detail."""

    entries: int = LEDGER_ENTRIES_MAX
    digests: int = LEDGER_DIGESTS_MAX


LEDGER_LIMITS: Final = LedgerLimits()


def evict_bytes(transaction: Transaction, max_bytes: int) -> None:
    """Give up the oldest frames of the least important lanes until at most ``max_bytes`` of payload wait."""
    state = transaction.state
    if state.bytes <= max_bytes:
        return
    transaction.flush()
    goal = int(max_bytes * EVICT_TO_SHARE)
    for lane in EVICTION_ORDER:
        while state.bytes > goal:
            last = _last_to_free(_oldest(transaction, lane), state.bytes - goal)
            if last is None:
                break
            transaction.give_up(lane, Gap(state.lanes[lane].committed + 1, last, GapReason.EVICTED))


def evict_older(transaction: Transaction, before_ms: int) -> None:
    """Give up all frames that were written before ``before_ms`` (since 1970 UTC), in every lane.

    A frame that was written under a clock nobody believed has no age of its own: it goes with those after it.
    """
    transaction.flush()
    for lane in EVICTION_ORDER:
        while True:
            last = _last_before(_oldest(transaction, lane), before_ms)
            if last is None:
                break
            transaction.give_up(lane, Gap(transaction.state.lanes[lane].committed + 1, last, GapReason.EVICTED))


def fold_ledger(transaction: Transaction, limits: LedgerLimits) -> None:
    """Fold the oldest entries of the ledger into its seal, when there are too many. Call after ``close``."""
    chain = transaction.state.chain
    over_entries, over_digests = chain.entries - limits.entries, chain.digests - limits.digests
    if over_entries < FOLD_ENTRIES and over_digests <= limits.digests // 100:
        return
    oldest = transaction.db.execute(queries.OLDEST_ENTRIES, {"limit": FOLD_ENTRIES}).fetchall()
    folded: list[ledger.LedgerEntry] = []
    digests = 0
    for _, count, line in oldest:
        if len(folded) >= over_entries and digests >= over_digests:
            break
        folded.append(ledger.decode_entry(line))
        digests += count
    chain.seal = ledger.fold(chain.seal, folded)
    chain.digests -= digests
    transaction.db.execute(queries.PUT_META, {"key": "seal", "value": ledger.encode(chain.seal).decode()})
    transaction.db.execute(queries.FORGET_ENTRIES, {"n": chain.seal.n})


Kept = tuple[int, int, bool, int]
"""seq, when it was written (ms, 0 unknown), whether it is a gap, bytes."""


def _oldest(transaction: Transaction, lane: Lane) -> list[Kept]:
    account = transaction.state.lanes[lane]
    place = {"lane": lane.value, "from_seq": account.committed + 1, "limit": EVICT_FRAMES_MAX}
    return [(int(seq), int(at_ms), bool(gap), int(size)) for seq, at_ms, gap, size in
            transaction.db.execute(queries.OLDEST, place)]  # fmt: skip


def _last_to_free(oldest: Iterable[Kept], excess: int) -> int | None:
    """The last of the oldest frames that free ``excess`` bytes; None when the lane has nothing to give."""
    last, freed = None, 0
    for seq, _, is_gap, size in oldest:
        if is_gap:
            continue  # it would only be replaced by another
        last, freed = seq, freed + size
        if freed >= excess:
            break
    return last


def _last_before(oldest: Iterable[Kept], before_ms: int) -> int | None:
    dated = [seq for seq, at_ms, is_gap, _ in oldest if 0 < at_ms < before_ms and not is_gap]
    return max(dated, default=None)
