"""All SQL of the outbox file."""

from typing import Final

PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    # Every commit is on the disk when it returns: a frame is published only then.
    "PRAGMA synchronous = FULL",
    "PRAGMA journal_size_limit = 16777216",
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
-- What the inference knows of each slot, written together with the events that changed it.
CREATE TABLE IF NOT EXISTS slot (
    slot    TEXT PRIMARY KEY,
    memory  BLOB NOT NULL
) WITHOUT ROWID;
"""

SCHEMA_VERSION: Final = 1
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
BYTES: Final = "SELECT coalesce(sum(length(payload)), 0) FROM frame"
BYTES_BETWEEN: Final = """
SELECT coalesce(sum(length(payload)), 0) FROM frame WHERE lane = :lane AND seq BETWEEN :from_seq AND :to_seq"""
DEPTH: Final = "SELECT count(*), min(at_ms) FROM frame"
DEPTH_BY_LANE: Final = "SELECT lane, count(*), min(at_ms), sum(length(payload)) FROM frame GROUP BY lane"
ADD_GAP: Final = """
INSERT INTO gap (at_ms, lane, from_seq, to_seq, reason) VALUES (:at_ms, :lane, :from_seq, :to_seq, :reason)"""
TRIM_GAPS: Final = "DELETE FROM gap WHERE gap_id <= (SELECT max(gap_id) FROM gap) - :keep"
GAPS: Final = "SELECT at_ms, lane, from_seq, to_seq, reason FROM gap ORDER BY gap_id"
PUT_SLOT: Final = "INSERT INTO slot VALUES (:slot, :memory) ON CONFLICT (slot) DO UPDATE SET memory = excluded.memory"
SLOTS: Final = "SELECT slot, memory FROM slot"
