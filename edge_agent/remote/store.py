"""The SQLite file beside the outbox that remembers what was asked from afar, and what has to be answered.

Each change of state and the answer that it owes are one transaction, on the disk when the call returns. That a
command acts once, and that each outcome is answered once, both rest on it.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from contracts.commands import DesiredConfig
from contracts.frames import Answer
from edge_agent.clock import Instant
from edge_agent.remote import queries

COMMANDS_OPEN_MAX: Final = 100
"""Commands that may wait; a platform that sends more is refused until some are finished."""
COMMANDS_KEPT_MAX: Final = 10_000
COMMANDS_KEPT_MS: Final = 30 * 24 * 3_600_000
CONFIGS_KEPT_MAX: Final = 50

log = structlog.get_logger()


def store_path(outbox: Path) -> Path:
    """Where the file lies: beside the outbox, named after it."""
    return outbox.with_name(f"{outbox.stem}.remote.db")


class StoreError(Exception):
    """The file cannot be written now (disk full, read-only)."""


class CommandState(StrEnum):
    """How far a command has come."""

    STORED = "stored"
    ACTING = "acting"
    LEAVING = "leaving"
    """The act ends this process; the next one says whether it went well."""
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"


class ConfigState(StrEnum):
    """How far a desired configuration has come."""

    STORED = "stored"
    TRYING = "trying"
    APPLIED = "applied"
    SUPERSEDED = "superseded"
    REFUSED = "refused"


class StoredCommand(NamedTuple):
    """A command and when it came; ``boot`` names the run of the monotonic clock that ``received`` is on."""

    id: str
    kind: str
    args: dict[str, Any]
    expires_ms: int
    received: Instant
    boot: str
    state: CommandState = CommandState.STORED
    note: Mapping[str, Any] = {}
    """What the act leaves for the process that comes after it (state LEAVING)."""


class StoredConfig(NamedTuple):
    """A desired configuration. ``memories`` (while it is tried): what the inference knew before, by slot."""

    version: int
    sha256: str
    config: dict[str, Any]
    state: ConfigState
    error: str = ""
    at_ms: int = 0
    memories: Mapping[str, bytes] = {}


_MEMORIES = msgspec.json.Decoder(dict[str, bytes])


class RemoteStore:
    """Safe from several threads. ``open`` it, ``close`` it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open or make the file. A damaged one is set aside: what it knew is forgotten. Raises StoreError."""
        with self._lock:
            try:
                self._open()
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                    msg = f"cannot open {self.path}: {error}"
                    raise StoreError(msg) from error
                self._set_aside(str(error))
                self._open()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _open(self) -> None:
        self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self.path.chmod(0o600)
        for pragma in queries.PRAGMAS:
            self._db.execute(pragma).fetchall()
        (verdict,) = self._db.execute(queries.CHECK).fetchone()
        if verdict != "ok":
            error = sqlite3.DatabaseError(verdict)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        self._db.executescript(queries.SCHEMA)
        self._db.execute(queries.PUT_VERSION)

    def _set_aside(self, detail: str) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        aside = _free_name(self.path)
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self.path.with_name(self.path.name + suffix).rename(f"{aside}{suffix}")
        log.error("remote_store_set_aside", detail=detail, kept_as=str(aside))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            assert self._db is not None, "the remote store is not open"
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.DatabaseError as error:
                msg = f"cannot write {self.path}: {error}"
                raise StoreError(msg) from error

    # ------------------------------------------------------------------ commands

    def add_command(self, command: StoredCommand) -> bool:
        """Store a command and owe its ``acked``; False when its id is known already. Raises StoreError."""
        with self._transaction() as db:
            (waiting,) = db.execute(queries.COUNT_OPEN).fetchone()
            if waiting >= COMMANDS_OPEN_MAX:
                msg = f"{waiting} commands wait already"
                raise StoreError(msg)
            utc_ms, mono_ms, synced = command.received
            row = {
                "id": command.id,
                "kind": command.kind,
                "args": json.dumps(command.args),
                "expires_ms": command.expires_ms,
                "utc_ms": utc_ms,
                "mono_ms": mono_ms,
                "synced": synced,
                "boot": command.boot,
            }
            if db.execute(queries.ADD_COMMAND, row).rowcount == 0:
                return False
            _owe(db, Answer(cmd=command.id, state="acked"))
            keep = {"before_ms": utc_ms - COMMANDS_KEPT_MS, "keep": COMMANDS_KEPT_MAX}
            db.execute(queries.TRIM_COMMANDS, keep)
            return True

    def open_commands(self) -> list[StoredCommand]:
        """Commands that are not finished, in the order in which they came."""
        with self._lock:
            assert self._db is not None
            rows = self._db.execute(queries.OPEN_COMMANDS, {"limit": COMMANDS_OPEN_MAX}).fetchall()
        return [
            StoredCommand(
                id_, kind, json.loads(args), expires, Instant(utc, mono, bool(synced)), boot,
                CommandState(state), json.loads(note),
            )
            for id_, kind, args, expires, utc, mono, synced, boot, state, note in rows
        ]  # fmt: skip

    def begin(self, command_id: str) -> bool:
        """Stored -> acting, once: False when it is past that."""
        return self._move(command_id, CommandState.ACTING, (CommandState.STORED,))

    def leave(self, command_id: str, note: Mapping[str, Any]) -> None:
        """Acting -> leaving: this process will end, the next one looks at ``note``."""
        moved = self._move(command_id, CommandState.LEAVING, (CommandState.ACTING, CommandState.LEAVING), note)
        assert moved, f"command {command_id} was not acting"

    def finish(
        self, command_id: str, state: CommandState, *, result: Mapping[str, Any] | None = None, error: str = ""
    ) -> None:
        """End a command and owe its answer, once."""
        with self._transaction() as db:
            for before in (CommandState.STORED, CommandState.ACTING, CommandState.LEAVING):
                row = {"id": command_id, "state": state, "note": "{}", "from_a": before, "from_b": before}
                if db.execute(queries.SET_COMMAND, row).rowcount:
                    _owe(db, Answer(cmd=command_id, state=state.value, result=dict(result or {}), error=error[:2000]))
                    return

    def _move(
        self,
        command_id: str,
        state: CommandState,
        before: tuple[CommandState, ...],
        note: Mapping[str, Any] | None = None,
    ) -> bool:
        row = {"id": command_id, "state": state, "note": json.dumps(dict(note or {}))}
        with self._transaction() as db:
            moved = db.execute(queries.SET_COMMAND, row | {"from_a": before[0], "from_b": before[-1]}).rowcount
        return moved == 1

    # ------------------------------------------------------------------ configurations

    def knows_config(self, desired: DesiredConfig) -> bool:
        """Whether this version with this content came before: it was, or will be, answered."""
        with self._lock:
            assert self._db is not None
            place = {"version": desired.version, "sha256": desired.sha256}
            (known,) = self._db.execute(queries.CONFIG_KNOWN, place).fetchone()
        return bool(known)

    def add_config(self, desired: DesiredConfig, at_ms: int) -> bool:
        """Store a configuration, to be tried; one that waited and was not tried yet is superseded."""
        with self._transaction() as db:
            known = db.execute(queries.CONFIG_KNOWN, {"version": desired.version, "sha256": desired.sha256}).fetchone()
            if known[0]:
                return False
            db.execute(queries.SUPERSEDE, {"state": ConfigState.STORED})
            db.execute(queries.ADD_CONFIG, _config_row(desired, ConfigState.STORED, "", at_ms))
            db.execute(queries.TRIM_CONFIGS, {"keep": CONFIGS_KEPT_MAX})
            return True

    def refuse_unseen(self, desired: DesiredConfig, error: str, at_ms: int) -> None:
        """Note and answer a configuration that is not even tried. It is not held against its content."""
        with self._transaction() as db:
            if db.execute(queries.ADD_CONFIG, _config_row(desired, ConfigState.SUPERSEDED, error, at_ms)).rowcount:
                _owe(db, Answer(cfg=desired.version, applied=False, error=error[:2000]))

    def config(self, state: ConfigState) -> StoredConfig | None:
        """The newest configuration of a state."""
        with self._lock:
            assert self._db is not None
            row = self._db.execute(queries.CONFIG_OF_STATE, {"state": state}).fetchone()
        return None if row is None else config_of_row(row)

    def configs(self, limit: int = CONFIGS_KEPT_MAX) -> list[StoredConfig]:
        """All that are remembered, the newest first."""
        with self._lock:
            assert self._db is not None
            return [config_of_row(row) for row in self._db.execute(queries.CONFIGS, {"limit": limit})]

    def refused(self, sha256: str) -> StoredConfig | None:
        """The configuration of this content that was refused, if one was."""
        with self._lock:
            assert self._db is not None
            row = self._db.execute(queries.CONFIG_REFUSED, {"sha256": sha256}).fetchone()
        return None if row is None else config_of_row(row)

    def try_config(self, config: StoredConfig, memories: Mapping[str, bytes], at_ms: int) -> None:
        """Stored -> trying. Who finds it so after a start knows that the process died of it, or with it."""
        self._put_config(config, ConfigState.TRYING, "", at_ms, memories)

    def shelve_config(self, config: StoredConfig, at_ms: int) -> None:
        """Trying -> stored: the agent was asked to end meanwhile, which says nothing about the configuration."""
        self._put_config(config, ConfigState.STORED, "", at_ms, {})

    def apply_config(self, config: StoredConfig, at_ms: int) -> None:
        """To applied, and owe the answer; the one before is superseded."""
        with self._transaction() as db:
            db.execute(queries.SUPERSEDE, {"state": ConfigState.APPLIED})
            db.execute(queries.SET_CONFIG, _update_row(config, ConfigState.APPLIED, "", at_ms, {}))
            _owe(db, Answer(cfg=config.version, applied=True))

    def refuse_config(self, config: StoredConfig, error: str, at_ms: int) -> None:
        """To refused, and owe the answer. Its content is not tried again."""
        with self._transaction() as db:
            db.execute(queries.SET_CONFIG, _update_row(config, ConfigState.REFUSED, error[:2000], at_ms, {}))
            _owe(db, Answer(cfg=config.version, applied=False, error=error[:2000]))

    def _put_config(
        self, config: StoredConfig, state: ConfigState, error: str, at_ms: int, memories: Mapping[str, bytes]
    ) -> None:
        with self._transaction() as db:
            db.execute(queries.SET_CONFIG, _update_row(config, state, error, at_ms, memories))

    # ------------------------------------------------------------------ answers

    def next_answer(self, after: int) -> tuple[int, bytes] | None:
        """The first answer after an ordinal."""
        with self._lock:
            assert self._db is not None
            row = self._db.execute(queries.ANSWERS, {"after": after, "limit": 1}).fetchone()
        return None if row is None else (row[0], row[1])

    def forget_answers(self, ordinal: int) -> None:
        """Answers up to here are committed by the platform."""
        with self._transaction() as db:
            db.execute(queries.FORGET_ANSWERS, {"ordinal": ordinal})

    def lane(self) -> tuple[str, int]:
        """The incarnation of the outbox that answers are written to, and the ordinal before its frame 1."""
        with self._lock:
            assert self._db is not None
            return _meta(self._db, "rsp_ep") or "", int(_meta(self._db, "rsp_base") or 0)

    def follow(self, ep: str, last: int, in_flight: int | None) -> None:
        """The outbox is of another incarnation, and has numbered ``last`` frames of the lane in it.

        ``in_flight`` is the answer that became the last of them, if one did. Those before it were in the lost file and
        may not have passed: they are told again, after the others.
        """
        with self._transaction() as db:
            if in_flight is None:
                (oldest,) = db.execute(queries.FIRST_ANSWER).fetchone()
                base = (_last_ordinal(db) if oldest is None else oldest - 1) - last
            else:
                for ordinal, body in db.execute(queries.ANSWERS, {"after": 0, "limit": -1}).fetchall():
                    if ordinal < in_flight:
                        _append(db, body)
                db.execute(queries.FORGET_ANSWERS, {"ordinal": in_flight - 1})
                base = in_flight - last
            db.execute(queries.PUT_META, {"key": "rsp_ep", "value": ep})
            db.execute(queries.PUT_META, {"key": "rsp_base", "value": str(base)})


def _owe(db: sqlite3.Connection, answer: Answer) -> None:
    _append(db, msgspec.json.encode(answer))


def _append(db: sqlite3.Connection, body: bytes) -> None:
    """Ordinals have no holes: the n-th answer is the n-th frame of its lane."""
    ordinal = _last_ordinal(db) + 1
    db.execute(queries.PUT_META, {"key": "last_ordinal", "value": str(ordinal)})
    db.execute(queries.ADD_ANSWER, {"ordinal": ordinal, "body": body})


def _last_ordinal(db: sqlite3.Connection) -> int:
    return int(_meta(db, "last_ordinal") or 0)


def _meta(db: sqlite3.Connection, key: str) -> str | None:
    row = db.execute(queries.GET_META, {"key": key}).fetchone()
    return None if row is None else str(row[0])


def config_of_row(row: tuple[Any, ...]) -> StoredConfig:
    """A row of the statements in ``queries`` that read configurations."""
    version, sha256, body, state, error, at_ms, memories = row
    return StoredConfig(version, sha256, json.loads(body), ConfigState(state), error, at_ms, _MEMORIES.decode(memories))


def _config_row(desired: DesiredConfig, state: ConfigState, error: str, at_ms: int) -> dict[str, Any]:
    body = msgspec.json.encode(desired.config)
    return {
        "version": desired.version, "sha256": desired.sha256, "body": body, "state": state, "error": error,
        "at_ms": at_ms,
    }  # fmt: skip


def _update_row(
    config: StoredConfig, state: ConfigState, error: str, at_ms: int, memories: Mapping[str, bytes]
) -> dict[str, Any]:
    return {
        "version": config.version, "sha256": config.sha256, "state": state, "error": error, "at_ms": at_ms,
        "memories": msgspec.json.encode(dict(memories)),
    }  # fmt: skip


def _free_name(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    return aside
