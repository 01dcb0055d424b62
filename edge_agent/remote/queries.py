"""All SQL of the remote file."""

from typing import Final

PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    # A command is acknowledged to the broker only when its id is on the disk.
    "PRAGMA synchronous = FULL",
    "PRAGMA journal_size_limit = 1048576",
    "PRAGMA cache_size = -256",
    "PRAGMA busy_timeout = 5000",
)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (
    key    TEXT PRIMARY KEY,
    value  TEXT NOT NULL
) WITHOUT ROWID;
-- Every command that ever came (for 30 days): stored -> acting -> leaving (restart, update) -> done | failed | expired.
CREATE TABLE IF NOT EXISTS command (
    place        INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    kind         TEXT NOT NULL,
    args         BLOB NOT NULL,
    expires_ms   INTEGER NOT NULL,
    utc_ms       INTEGER NOT NULL,
    mono_ms      INTEGER NOT NULL,
    synced       INTEGER NOT NULL,
    boot         TEXT NOT NULL,
    state        TEXT NOT NULL,
    note         BLOB NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS command_open ON command (place) WHERE state IN ('stored', 'acting', 'leaving');
-- Desired configurations: stored -> trying -> applied -> superseded, or refused. One is applied, one trying at most.
CREATE TABLE IF NOT EXISTS config (
    place     INTEGER PRIMARY KEY,
    version   INTEGER NOT NULL,
    sha256    TEXT NOT NULL,
    body      BLOB NOT NULL,
    state     TEXT NOT NULL,
    error     TEXT NOT NULL DEFAULT '',
    at_ms     INTEGER NOT NULL,
    memories  BLOB NOT NULL DEFAULT '{}',
    UNIQUE (version, sha256)
);
-- Answers that the platform has not committed yet, as it will read them. The n-th is frame n - base of lane rsp.
CREATE TABLE IF NOT EXISTS answer (
    ordinal  INTEGER PRIMARY KEY,
    body     BLOB NOT NULL
);
"""

SCHEMA_VERSION: Final = 1
GET_VERSION: Final = "PRAGMA user_version"
PUT_VERSION: Final = f"PRAGMA user_version = {SCHEMA_VERSION}"
CHECK: Final = "PRAGMA quick_check(1)"
GET_META: Final = "SELECT value FROM meta WHERE key = :key"
PUT_META: Final = "INSERT INTO meta VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value"

ADD_COMMAND: Final = """
INSERT INTO command (id, kind, args, expires_ms, utc_ms, mono_ms, synced, boot, state)
VALUES (:id, :kind, :args, :expires_ms, :utc_ms, :mono_ms, :synced, :boot, 'stored')
ON CONFLICT (id) DO NOTHING"""
OPEN_COMMANDS: Final = """
SELECT id, kind, args, expires_ms, utc_ms, mono_ms, synced, boot, state, note FROM command
WHERE state IN ('stored', 'acting', 'leaving') ORDER BY place LIMIT :limit"""
COUNT_OPEN: Final = "SELECT count(*) FROM command WHERE state IN ('stored', 'acting', 'leaving')"
SET_COMMAND: Final = "UPDATE command SET state = :state, note = :note WHERE id = :id AND state IN (:from_a, :from_b)"
TRIM_COMMANDS: Final = """
DELETE FROM command WHERE state NOT IN ('stored', 'acting', 'leaving')
    AND ((synced AND utc_ms < :before_ms) OR place <= (SELECT max(place) FROM command) - :keep)"""

ADD_CONFIG: Final = """
INSERT INTO config (version, sha256, body, state, error, at_ms)
VALUES (:version, :sha256, :body, :state, :error, :at_ms)
ON CONFLICT (version, sha256) DO NOTHING"""
CONFIG_OF_STATE: Final = """
SELECT version, sha256, body, state, error, at_ms, memories FROM config
WHERE state = :state ORDER BY place DESC LIMIT 1"""
CONFIG_REFUSED: Final = """
SELECT version, sha256, body, state, error, at_ms, memories FROM config
WHERE sha256 = :sha256 AND state = 'refused' ORDER BY place LIMIT 1"""
CONFIG_KNOWN: Final = "SELECT count(*) FROM config WHERE version = :version AND sha256 = :sha256"
CONFIGS: Final = """
SELECT version, sha256, body, state, error, at_ms, memories FROM config ORDER BY place DESC LIMIT :limit"""
SET_CONFIG: Final = """
UPDATE config SET state = :state, error = :error, at_ms = :at_ms, memories = :memories
WHERE version = :version AND sha256 = :sha256"""
SUPERSEDE: Final = "UPDATE config SET state = 'superseded', memories = '{}' WHERE state = :state"
TRIM_CONFIGS: Final = """
DELETE FROM config WHERE state IN ('superseded', 'refused') AND place <= (SELECT max(place) FROM config) - :keep"""

ADD_ANSWER: Final = "INSERT INTO answer VALUES (:ordinal, :body)"
ANSWERS: Final = "SELECT ordinal, body FROM answer WHERE ordinal > :after ORDER BY ordinal LIMIT :limit"
FIRST_ANSWER: Final = "SELECT min(ordinal) FROM answer"
FORGET_ANSWERS: Final = "DELETE FROM answer WHERE ordinal <= :ordinal"
