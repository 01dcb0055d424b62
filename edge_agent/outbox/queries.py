"""All SQL of the outbox file."""

from typing import Final

PRAGMAS: Final = (
    # Before the file has its first page: what an outage made it grow by is given back afterwards.
    "PRAGMA auto_vacuum = INCREMENTAL",
    "PRAGMA journal_mode = WAL",
    # Every commit is on the disk when it returns: a frame is published only then.
    "PRAGMA synchronous = FULL",
    "PRAGMA journal_size_limit = 16777216",
    # Debian builds SQLite so that what is deleted is overwritten; frames are no secret of this file alone.
    "PRAGMA secure_delete = OFF",
    "PRAGMA cache_size = -1024",
    "PRAGMA busy_timeout = 5000",
)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (
    key    TEXT PRIMARY KEY,
    value  TEXT NOT NULL
) WITHOUT ROWID;
-- One row a lane: what was ever written to it. digest: sum of the frames' digests modulo 2^64, hexadecimal.
CREATE TABLE IF NOT EXISTS lane (
    lane       TEXT PRIMARY KEY,
    committed  INTEGER NOT NULL DEFAULT 0,
    last       INTEGER NOT NULL DEFAULT 0,
    frames     INTEGER NOT NULL DEFAULT 0,
    readings   INTEGER NOT NULL DEFAULT 0,
    lost       INTEGER NOT NULL DEFAULT 0,
    digest     TEXT NOT NULL DEFAULT '0'
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS frame (
    lane      TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL,
    readings  INTEGER NOT NULL,
    is_gap    INTEGER NOT NULL,
    digest    TEXT NOT NULL,
    payload   BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS frame_place ON frame (lane, seq);
-- Gaps that were declared; the newest are kept, for people.
CREATE TABLE IF NOT EXISTS gap (
    gap_id    INTEGER PRIMARY KEY,
    at_ms     INTEGER NOT NULL,
    lane      TEXT NOT NULL,
    from_seq  INTEGER NOT NULL,
    to_seq    INTEGER NOT NULL,
    reason    TEXT NOT NULL
);
-- Commits since the seal, oldest first (see ledger.py); digests: how many the line has.
CREATE TABLE IF NOT EXISTS ledger (
    n        INTEGER PRIMARY KEY,
    digests  INTEGER NOT NULL,
    line     BLOB NOT NULL
);
-- What the inference knows of each slot, written together with the events that changed it.
CREATE TABLE IF NOT EXISTS slot (
    slot    TEXT PRIMARY KEY,
    memory  BLOB NOT NULL
) WITHOUT ROWID;
-- The grounds of each decision (edge_agent/shelf/decision.py, audit), written with its event; the newest are kept.
CREATE TABLE IF NOT EXISTS audit (
    audit_id  INTEGER PRIMARY KEY,
    record    BLOB NOT NULL
);
"""

SCHEMA_VERSION: Final = 2
UPGRADABLE: Final = frozenset({1, SCHEMA_VERSION})
"""Version 1 had no ledger: it gets one whose seal stands for what was written before."""
GET_VERSION: Final = "PRAGMA user_version"
PUT_VERSION: Final = f"PRAGMA user_version = {SCHEMA_VERSION}"
HAS_TABLES: Final = "SELECT count(*) FROM sqlite_master WHERE name = 'meta'"
CHECK: Final = "PRAGMA quick_check(1)"
GET_META: Final = "SELECT value FROM meta WHERE key = :key"
PUT_META: Final = "INSERT INTO meta VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
ADD_LANE: Final = "INSERT INTO lane (lane) VALUES (:lane) ON CONFLICT DO NOTHING"
LANES: Final = "SELECT lane, committed, last, frames, readings, lost, digest FROM lane"
PUT_LANE: Final = """
UPDATE lane SET committed = :committed, last = :last, frames = :frames, readings = :readings, lost = :lost,
    digest = :digest
WHERE lane = :lane"""
ADD_FRAME: Final = """
INSERT INTO frame (lane, seq, at_ms, readings, is_gap, digest, payload)
VALUES (:lane, :seq, :at_ms, :readings, :is_gap, :digest, :payload)"""
READ: Final = "SELECT seq, payload FROM frame WHERE lane = :lane AND seq > :after ORDER BY seq LIMIT :limit"
KEPT: Final = """
SELECT seq, readings, is_gap, digest, length(payload) FROM frame
WHERE lane = :lane AND seq BETWEEN :from_seq AND :to_seq ORDER BY seq LIMIT :limit"""
FORGET: Final = "DELETE FROM frame WHERE lane = :lane AND seq BETWEEN :from_seq AND :to_seq"
WAITING: Final = "SELECT coalesce(sum(length(payload)), 0), count(*) FROM frame"
BYTES_BETWEEN: Final = """
SELECT coalesce(sum(length(payload)), 0), count(*) FROM frame
WHERE lane = :lane AND seq BETWEEN :from_seq AND :to_seq"""
OLDEST: Final = """
SELECT seq, at_ms, is_gap, length(payload) FROM frame WHERE lane = :lane AND seq >= :from_seq
ORDER BY seq LIMIT :limit"""
OLDEST_AT: Final = "SELECT at_ms FROM frame WHERE lane = :lane ORDER BY seq LIMIT 1"
DEPTH_BY_LANE: Final = """
SELECT lane, count(*), coalesce(min(nullif(at_ms, 0)), 0), sum(length(payload)) FROM frame GROUP BY lane"""
ADD_GAP: Final = """
INSERT INTO gap (at_ms, lane, from_seq, to_seq, reason) VALUES (:at_ms, :lane, :from_seq, :to_seq, :reason)"""
TRIM_GAPS: Final = "DELETE FROM gap WHERE gap_id <= (SELECT max(gap_id) FROM gap) - :keep"
GAP_TOTALS: Final = "SELECT lane, reason, sum(to_seq - from_seq + 1) FROM gap GROUP BY lane, reason"
GAPS: Final = "SELECT at_ms, lane, from_seq, to_seq, reason FROM gap ORDER BY gap_id"
PUT_SLOT: Final = "INSERT INTO slot VALUES (:slot, :memory) ON CONFLICT (slot) DO UPDATE SET memory = excluded.memory"
SLOTS: Final = "SELECT slot, memory FROM slot"
ADD_RECORD: Final = "INSERT INTO audit (record) VALUES (:record)"
TRIM_RECORDS: Final = "DELETE FROM audit WHERE audit_id <= (SELECT max(audit_id) FROM audit) - :keep"
HAS_RECORDS: Final = "SELECT count(*) FROM sqlite_master WHERE name = 'audit'"
RECORDS: Final = "SELECT record FROM audit ORDER BY audit_id DESC LIMIT :limit"
ADD_ENTRY: Final = "INSERT INTO ledger (n, digests, line) VALUES (:n, :digests, :line)"
OLDEST_ENTRIES: Final = "SELECT n, digests, line FROM ledger ORDER BY n LIMIT :limit"
LINES: Final = "SELECT line FROM ledger ORDER BY n"
LAST_ENTRY: Final = "SELECT line FROM ledger ORDER BY n DESC LIMIT 1"
COUNT_DIGESTS: Final = "SELECT coalesce(sum(digests), 0) FROM ledger"
FORGET_ENTRIES: Final = "DELETE FROM ledger WHERE n <= :n"
FREE_PAGES: Final = "PRAGMA freelist_count"
PAGES: Final = "PRAGMA page_count"
GIVE_BACK: Final = "PRAGMA incremental_vacuum({pages})"
