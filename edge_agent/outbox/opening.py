"""Opening the outbox file: checked, made when it is missing, set aside when it is of no use."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from contracts.frames import Previous
from contracts.topics import Lane
from edge_agent.outbox import ledger, queries
from edge_agent.outbox.failures import corruption
from edge_agent.outbox.ledger import Seal, SealedLane
from edge_agent.outbox.state import Account, Chain, State
from edge_agent.outbox.transaction import immediate

ASIDE_KEPT_MAX: Final = 3
"""Files that are kept beside the outbox after they were set aside; the oldest goes, or a bad disk would fill itself."""
SIDE_FILES: Final = ("", "-wal", "-shm")

log = structlog.get_logger()


class UselessError(Exception):
    """The file is whole, but not one to go on with; ``why`` is one word for its new name."""

    why: str


class OutdatedError(UselessError):
    """Of a version that we cannot go on with."""

    why = "outdated"


class ClonedError(UselessError):
    """Made on another machine."""

    why = "cloned"


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a new file takes over from the one before: its lanes' ends, and the end of its ledger."""

    previous: Mapping[Lane, Previous]
    hash: str = ledger.GENESIS
    lost: frozenset[Lane] = frozenset()
    """Lanes with frames that the platform had not said to have committed."""


@dataclass(slots=True)
class Opened:
    """An open file and what it holds."""

    db: sqlite3.Connection
    ep: str
    previous: dict[Lane, Previous]
    state: State


def connect(path: Path) -> sqlite3.Connection:
    """A connection for the owner of the file. Raises sqlite3.Error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        path.chmod(0o600)
        for pragma in queries.PRAGMAS:
            db.execute(pragma).fetchall()
    except BaseException:
        db.close()
        raise
    return db


def load(db: sqlite3.Connection, machine: str, inherited: Inherited) -> Opened:
    """What the file holds; one without tables is made. Raises UselessError, sqlite3.Error (corruption too)."""
    (verdict,) = db.execute(queries.CHECK).fetchone()
    if verdict != "ok":
        raise corruption(verdict)
    (version,) = db.execute(queries.GET_VERSION).fetchone()
    (has_tables,) = db.execute(queries.HAS_TABLES).fetchone()
    if has_tables and version not in queries.UPGRADABLE:
        msg = f"the file is of version {version}, ours is {queries.SCHEMA_VERSION}"
        raise OutdatedError(msg)
    db.executescript(queries.SCHEMA)
    known = meta(db, "machine")
    if known is None:
        _make(db, machine, inherited)
    elif known != machine:
        msg = "the file was made on another machine"
        raise ClonedError(msg)
    elif version != queries.SCHEMA_VERSION:
        _begin_ledger(db)
    db.execute(queries.PUT_VERSION)
    ep = meta(db, "ep")
    assert ep is not None
    return Opened(db, ep, _previous(db), _state(db))


def salvage(db: sqlite3.Connection) -> Inherited:
    """What can still be read of a file that is set aside."""
    try:
        ep = meta(db, "ep")
        accounts = {Lane(row[0]): Account(row[1], row[2]) for row in db.execute(queries.LANES)}
        before = _previous(db)
        chain = _chain(db)
    except (sqlite3.DatabaseError, msgspec.MsgspecError, ValueError):
        return Inherited({})
    return inherit(ep, accounts, before, chain.hash) if ep else Inherited({})


def inherit(ep: str, accounts: Mapping[Lane, Account], before: Mapping[Lane, Previous], hash_: str) -> Inherited:
    """What the incarnation after ``ep`` takes over. A lane that ``ep`` never used still ends where it did before."""
    ends = {
        lane: Previous(ep, account.last) for lane, account in accounts.items() if account.last or lane not in before
    }
    lost = frozenset(lane for lane, account in accounts.items() if account.last > account.committed)
    return Inherited({**before, **ends}, hash_, lost)


def salvage_newest(path: Path) -> Inherited:
    """What the newest file that was set aside still says: for a new file that could not be made in the same breath."""
    for aside in reversed(those_aside(path)):
        try:
            with closing(sqlite3.connect(f"file:{aside}?mode=ro", uri=True)) as db:
                return salvage(db)
        except sqlite3.Error as error:
            log.warning("outbox_unreadable", file=str(aside), error=str(error))
    return Inherited({})


def set_aside(path: Path, why: str, at_ms: int) -> Path:
    """Give the file another name, and remove the oldest of those that had it before. Returns the new name."""
    aside = path.with_name(f"{path.name}.{why}-{at_ms}")
    for suffix in SIDE_FILES:
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(f"{aside}{suffix}")
    _sync_folder(path.parent)
    for old in those_aside(path)[:-ASIDE_KEPT_MAX]:
        for suffix in SIDE_FILES:
            old.with_name(old.name + suffix).unlink(missing_ok=True)
        log.warning("old_outbox_removed", file=str(old))
    return aside


def those_aside(path: Path) -> list[Path]:
    """Files that were set aside, oldest first: ``outbox.db.corrupt-1767225600123`` and the like."""
    found = [each for each in path.parent.glob(f"{path.name}.*-*") if each.name.rpartition("-")[2].isdigit()]
    return sorted(found, key=lambda each: int(each.name.rpartition("-")[2]))


def meta(db: sqlite3.Connection, key: str) -> str | None:
    """A value of the file's own. Raises sqlite3.Error."""
    row = db.execute(queries.GET_META, {"key": key}).fetchone()
    return None if row is None else str(row[0])


def _previous(db: sqlite3.Connection) -> dict[Lane, Previous]:
    previous = json.loads(meta(db, "previous") or "{}")
    return {Lane(lane): Previous(*each) for lane, each in previous.items()}


def _make(db: sqlite3.Connection, machine: str, inherited: Inherited) -> None:
    ep = hashlib.sha256(machine.encode() + os.urandom(16)).hexdigest()[:10]
    previous = {lane.value: [each.ep, each.seq] for lane, each in inherited.previous.items()}
    seal = ledger.encode(Seal(hash=inherited.hash)).decode()
    values = {"machine": machine, "previous": json.dumps(previous), "seal": seal, "ep": ep}
    with immediate(db):
        for lane in Lane:
            db.execute(queries.ADD_LANE, {"lane": lane.value})
        for key, value in values.items():
            db.execute(queries.PUT_META, {"key": key, "value": value})


def _begin_ledger(db: sqlite3.Connection) -> None:
    """A ledger for a file that had none: what was written before is sealed."""
    lanes = {
        Lane(lane): SealedLane(last, readings, digest)
        for lane, _, last, _, readings, _, digest in db.execute(queries.LANES)
        if last
    }
    with immediate(db):
        db.execute(queries.PUT_META, {"key": "seal", "value": ledger.encode(Seal(lanes=lanes)).decode()})


def _state(db: sqlite3.Connection) -> State:
    state = State(chain=_chain(db))
    for lane, committed, last, frames, readings, lost, hashed in db.execute(queries.LANES):
        state.lanes[Lane(lane)] = Account(committed, last, frames, readings, lost, int(hashed, 16))
    state.bytes, state.frames = db.execute(queries.WAITING).fetchone()
    return state


def _chain(db: sqlite3.Connection) -> Chain:
    seal = ledger.decode_seal(meta(db, "seal") or "{}")
    (digests,) = db.execute(queries.COUNT_DIGESTS).fetchone()
    row = db.execute(queries.LAST_ENTRY).fetchone()
    if row is None:
        return Chain(seal, seal.n, seal.hash, 0)
    last = ledger.decode_entry(row[0])
    return Chain(seal, last.n, last.hash, digests)


def _sync_folder(folder: Path) -> None:
    """Make new names survive a power cut; a file system that cannot is no worse off."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
