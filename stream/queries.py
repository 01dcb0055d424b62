"""All SQL of the stream, one statement a constant."""

from typing import Final, LiteralString

# ------------------------------------------------------------------ control data

GATEWAYS: Final = "SELECT tenant_id, gateway_id, site_id, revoked_at IS NOT NULL FROM gateway"
SLOTS: Final = """
SELECT tenant_id, gateway_id, slot_id, site_id, sku, channel, unit_weight_g, capacity FROM slot
"""
POLICIES: Final = "SELECT tenant_id, site_id, sku, reorder_point, target, mode FROM stock_policy"
# The newest cycle of each (site, SKU) decides; older ones are over.
PROPOSALS: Final = """
SELECT DISTINCT ON (tenant_id, site_id, sku) tenant_id, site_id, sku, cycle, units, state, updated_at
FROM proposal
ORDER BY tenant_id, site_id, sku, cycle DESC, created_at DESC
"""
CHANNEL_SETTINGS: Final = """
SELECT tenant_id, gateway_id, channel, class, interval_s, limit_c, limit_s FROM channel_setting
"""
# By the clock of the site. Long past ones change nothing that is still learnt.
PROMOTION_PLAN: Final = """
SELECT p.tenant_id, p.site_id, p.sku, p.first_day::timestamp AT TIME ZONE s.timezone,
       (p.last_day + 1)::timestamp AT TIME ZONE s.timezone
FROM promotion_plan p JOIN site s USING (tenant_id, site_id)
WHERE p.depth > 0 AND p.last_day >= current_date - 400
ORDER BY 1, 2, 3, 4
"""
ZONES: Final = "SELECT tenant_id, site_id, timezone FROM site"
# Of the time in which labels count.
LABELS: Final = """
SELECT tenant_id, kind, place, count(*) FILTER (WHERE label = 'true'), count(*) FILTER (WHERE label <> 'true')
FROM anomaly WHERE label IS NOT NULL AND coalesce(decided_at, detected_at) > now() - %(life)s
GROUP BY tenant_id, kind, place
"""
_ANOMALIES: Final = """
SELECT anomaly_id, tenant_id, site_id, gateway_id, kind, place_kind, place, start_at, end_at, detected_at, severity,
       score, evidence
FROM anomaly
"""
# Of the kinds that readings alone can end (unended.py).
UNENDED: Final = f"{_ANOMALIES} WHERE kind IN ('dropout', 'stuck_sensor', 'cold_chain') AND end_at IS NULL"
# As the index anomaly_outage has them.
OUTAGES_OPEN: Final = f"""
{_ANOMALIES} WHERE end_at IS NULL AND kind IN ('stuck_sensor', 'dropout', 'device_fault')
"""
OUTAGES_NAMED: Final = f"{_ANOMALIES} WHERE anomaly_id = ANY(%(ids)s) AND end_at IS NOT NULL"
# received_at is when its transaction began: before the oldest that is under way, and a moment for one that is just
# beginning, nothing more can come.
EVENTS_HORIZON: Final = """
SELECT least(now() - interval '1 second', min(xact_start)) FROM pg_stat_activity
WHERE application_name = 'shelfpulse-stream' AND datname = current_database()
"""
EVENTS_SINCE: Final = """
SELECT e.received_at, e.tenant_id, e.gateway_id, e.event_id, e.time, e.site_id, e.slot_id, e.sku, e.kind, e.units,
       e.delta_g, e.confidence, e.on_shelf, e.of_event, e.why, e.other, e.synced, e.lane_seq
FROM tenant t CROSS JOIN LATERAL (
    SELECT * FROM shelf_event s
    WHERE s.tenant_id = t.tenant_id AND s.received_at >= %(at)s AND s.received_at < %(until)s
      AND (s.received_at, s.tenant_id, s.gateway_id, s.event_id) > (%(at)s, %(tenant)s, %(gateway)s, %(event)s)
    ORDER BY s.received_at, s.gateway_id, s.event_id LIMIT %(limit)s
) AS e
ORDER BY e.received_at, e.tenant_id, e.gateway_id, e.event_id LIMIT %(limit)s
"""
DETECTOR_STATES: Final = "SELECT state_key, state FROM detector_state"
DETECTOR_STATE: Final = """
INSERT INTO detector_state AS d (state_key, state) VALUES (%s, %s)
ON CONFLICT (state_key) DO UPDATE SET state = excluded.state, saved_at = now()
"""
SALES_OFFSETS: Final = "SELECT span, last_id FROM sales_offset"
SALES_LAST: Final = "SELECT coalesce(max(id), 0) FROM pos_sale"
SALES_OFFSET_MOVE: Final = """
INSERT INTO sales_offset (span, last_id) VALUES (%s, %s)
ON CONFLICT (span) DO UPDATE SET last_id = greatest(sales_offset.last_id, excluded.last_id)
"""
# Below the xmin horizon: no transaction that is still open can bring a smaller id. A row is left alone for two seconds,
# for an id is drawn a moment before its transaction has a number.
SALES: Final = """
SELECT id, tenant, site, sku, units, sold_at
FROM pos_sale
WHERE id > %(after)s
  AND age(xmin) > age((pg_snapshot_xmin(pg_current_snapshot())::text::bigint %% 4294967296)::text::xid)
  AND received_at < now() - interval '2 seconds'
ORDER BY id
LIMIT %(limit)s
"""
SERIES: Final = "SELECT tenant_id, gateway_id, channel, series_id FROM series"
SERIES_INSERT: Final = """
INSERT INTO series (tenant_id, gateway_id, channel)
SELECT * FROM unnest(%(tenants)s::text[], %(gateways)s::text[], %(channels)s::text[])
ON CONFLICT (tenant_id, gateway_id, channel) DO NOTHING
"""
# A statement of its own, because only a later one sees what another process has created in the meantime.
SERIES_NAMED: Final = """
SELECT tenant_id, gateway_id, channel, series_id
FROM series
JOIN unnest(%(tenants)s::text[], %(gateways)s::text[], %(channels)s::text[]) AS n (tenant_id, gateway_id, channel)
     USING (tenant_id, gateway_id, channel)
"""
SERIES_NAME: Final = "SELECT tenant_id, gateway_id, channel FROM series WHERE series_id = %(series)s"
WATERMARKS: Final = "SELECT tenant_id, gateway_id, lane, ep, seq, closed FROM ingest_watermark"
POSITIONS: Final = "SELECT tenant_id, gateway_id, slot_id, site_id, sku, on_shelf, as_of FROM shelf_position"
POSITIONS_RECENT: Final = """
SELECT tenant_id, gateway_id, slot_id, site_id, sku, on_shelf, as_of
FROM shelf_position
WHERE updated_at > now() - make_interval(secs => %(recent_s)s)
"""
ANCHORS: Final = """
SELECT tenant_id, gateway_id, boot, zero_at FROM clock_anchor ORDER BY tenant_id, gateway_id, seen_at
"""

BACKFILLS: Final = "SELECT tenant_id, gateway_id, ep FROM backfill WHERE open_until > now()"

# ------------------------------------------------------------------ the fence

FENCE_LOCK: Final = "LOCK TABLE ingest_owner IN SHARE ROW EXCLUSIVE MODE"
FENCE_RANGES: Final = "SELECT partition FROM ingest_owner"
FENCE_RAISE: Final = "UPDATE ingest_owner SET generation = generation + 1 WHERE partition = ANY(%(partitions)s)"
FENCE_TAKE: Final = """
INSERT INTO ingest_owner (partition, generation, owner) VALUES (%(partition)s, 1, %(owner)s)
ON CONFLICT (partition) DO UPDATE
SET generation = ingest_owner.generation + 1, owner = excluded.owner, taken_at = now()
RETURNING generation
"""
# FOR SHARE: who takes the range waits for this epoch, and this epoch fails once it is taken.
FENCE_CHECK: Final = """
SELECT generation, pg_current_xact_id()::text FROM ingest_owner WHERE partition = %(partition)s FOR SHARE
"""
# Only epochs of streams, whose transactions hold the row: not a migration that waits or works.
FENCE_HOLDERS_END: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = ANY(pg_blocking_pids(%(waiting)s)) AND application_name = 'shelfpulse-stream'
"""
FENCE_GENERATION: Final = "SELECT generation FROM ingest_owner WHERE partition = %(partition)s"
# When the network between us breaks, the server must notice in 20 s, not in the two hours that systems choose: until
# then the epoch's transaction stays in progress, and what became of its COMMIT unknown.
KEEPALIVE: Final = """
SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),
       set_config('tcp_keepalives_count', '2', false)
"""
WATERMARK: Final = """
SELECT seq FROM ingest_watermark
WHERE (tenant_id, gateway_id, lane, ep) = (%(tenant)s, %(gateway)s, %(lane)s, %(ep)s)
"""
TRANSACTION_STATUS: Final = "SELECT pg_xact_status(%(id)s::xid8)"

# ------------------------------------------------------------------ the epoch

READING_COPY: Final[LiteralString] = "COPY reading (time, series_id, value, quality) FROM STDIN (FORMAT BINARY)"
# Arrays of parameters would cost more than the rest of the epoch: thousands of values pass through a table instead.
NEWEST_TABLE: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS newest (time timestamptz, series_id int, value float8, quality smallint)
ON COMMIT DELETE ROWS
"""
PLAIN_RANGE_TABLE: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS plain_range (series_id int, lo timestamptz) ON COMMIT DELETE ROWS
"""
PLAIN_ASKED_TABLE: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS plain_asked (position int, series_id int, time timestamptz, value float8)
ON COMMIT DELETE ROWS
"""
PLAIN_RANGE_COPY: Final[LiteralString] = "COPY plain_range (series_id, lo) FROM STDIN (FORMAT BINARY)"
PLAIN_ASKED_COPY: Final[LiteralString] = (
    "COPY plain_asked (position, series_id, time, value) FROM STDIN (FORMAT BINARY)"
)
# LIMIT keeps both to one step down the index a row, whatever the planner believes of tables that it has no figures for.
PLAIN_NEAR: Final = """
SELECT p.series_id, (extract(epoch FROM stored.time) * 1000000)::bigint
FROM plain_range p, LATERAL (
    SELECT r.time FROM reading r
    WHERE r.series_id = p.series_id AND r.time >= p.lo AND r.time BETWEEN %(lo)s AND %(hi)s
    ORDER BY r.time DESC LIMIT 1
) AS stored
"""
PLAIN_KNOWN: Final = """
SELECT p.position
FROM plain_asked p, LATERAL (
    SELECT FROM reading r
    WHERE r.series_id = p.series_id AND r.time = p.time AND r.value = p.value AND r.time BETWEEN %(lo)s AND %(hi)s
    LIMIT 1
) AS stored
"""
NEWEST_COPY: Final[LiteralString] = "COPY newest (time, series_id, value, quality) FROM STDIN (FORMAT BINARY)"
LATEST: Final = """
INSERT INTO latest_value AS l (series_id, time, value, quality)
SELECT series_id, time, value, quality FROM newest ORDER BY series_id
ON CONFLICT (series_id) DO UPDATE
SET time = excluded.time, value = excluded.value, quality = excluded.quality
WHERE excluded.time >= l.time
"""
DIRTY: Final = "INSERT INTO rollup_dirty (lo, hi) SELECT * FROM unnest(%(lo)s::timestamptz[], %(hi)s::timestamptz[])"
DIGEST: Final = """
INSERT INTO ingest_digest AS d (tenant_id, gateway_id, day, readings, reading_digest)
SELECT * FROM unnest(%(tenants)s::text[], %(gateways)s::text[], %(days)s::date[], %(counts)s::bigint[],
                     %(digests)s::numeric[])
ON CONFLICT (tenant_id, gateway_id, day) DO UPDATE
SET readings = d.readings + excluded.readings,
    reading_digest = (d.reading_digest + excluded.reading_digest) %% 18446744073709551616
"""

_MOVES: Final = """
unnest(%(tenants)s::text[], %(gateways)s::text[], %(lanes)s::text[], %(eps)s::text[], %(firsts)s::bigint[],
       %(lasts)s::bigint[], %(frames)s::bigint[], %(readings)s::bigint[], %(gaps)s::bigint[], %(faults)s::bigint[],
       %(digests)s::numeric[])
    AS m (tenant_id, gateway_id, lane, ep, from_seq, to_seq, frames, readings, gap_frames, quarantined, digest)
"""
# Both move a watermark only from where this process last saw it: when another writer moved it, a row is missing
# from the count, and the epoch is rolled back.
WATERMARK_MOVE: Final = f"""
UPDATE ingest_watermark w
SET seq = m.to_seq, frames = w.frames + m.frames, readings = w.readings + m.readings,
    gap_frames = w.gap_frames + m.gap_frames, quarantined = w.quarantined + m.quarantined,
    frame_digest = (w.frame_digest + m.digest) %% 18446744073709551616, updated_at = now()
FROM {_MOVES}
WHERE (w.tenant_id, w.gateway_id, w.lane, w.ep) = (m.tenant_id, m.gateway_id, m.lane, m.ep)
  AND w.seq = m.from_seq - 1 AND NOT w.closed
"""  # noqa: S608 - put together from constants
WATERMARK_CLOSE: Final = """
UPDATE ingest_watermark w SET closed = true, updated_at = now()
FROM unnest(%(tenants)s::text[], %(gateways)s::text[], %(lanes)s::text[]) AS m (tenant_id, gateway_id, lane)
WHERE (w.tenant_id, w.gateway_id, w.lane) = (m.tenant_id, m.gateway_id, m.lane) AND NOT w.closed
"""
WATERMARK_OPEN: Final = f"""
INSERT INTO ingest_watermark
    (tenant_id, gateway_id, lane, ep, seq, frames, readings, gap_frames, quarantined, frame_digest)
SELECT tenant_id, gateway_id, lane, ep, to_seq, frames, readings, gap_frames, quarantined, digest
FROM {_MOVES}
ON CONFLICT DO NOTHING
"""  # noqa: S608 - put together from constants
BATCH: Final = f"""
INSERT INTO ingest_batch
    (tenant_id, gateway_id, lane, ep, from_seq, to_seq, readings, gap_frames, quarantined, frame_digest)
SELECT tenant_id, gateway_id, lane, ep, from_seq, to_seq, readings, gap_frames, quarantined, digest
FROM {_MOVES}
"""  # noqa: S608 - put together from constants
GAP: Final = """
INSERT INTO ingest_gap (tenant_id, gateway_id, lane, ep, from_seq, to_seq, reason)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
QUARANTINE: Final = """
INSERT INTO quarantine
    (received_at, tenant_id, gateway_id, lane, ep, seq, topic, reason, detail, payload, payload_bytes)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
EVENT: Final = """
INSERT INTO shelf_event
    (tenant_id, gateway_id, event_id, time, site_id, slot_id, sku, kind, units, delta_g, confidence, on_shelf,
     of_event, why, other, synced, lane_seq)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
POSITION: Final = """
INSERT INTO shelf_position (tenant_id, gateway_id, slot_id, site_id, sku, on_shelf, as_of)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (tenant_id, gateway_id, slot_id) DO UPDATE
SET site_id = excluded.site_id, sku = excluded.sku, on_shelf = excluded.on_shelf, as_of = excluded.as_of,
    updated_at = now()
"""
# It is told again when it ends; a replay that tells an old beginning changes nothing.
ANOMALY: Final = """
INSERT INTO anomaly
    (anomaly_id, tenant_id, site_id, gateway_id, kind, place_kind, place, start_at, end_at, detected_at, severity,
     score, evidence)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (anomaly_id) DO UPDATE SET end_at = excluded.end_at, version = anomaly.version + 1
WHERE anomaly.end_at IS NULL AND excluded.end_at IS NOT NULL
"""
PROPOSAL: Final = """
INSERT INTO proposal (proposal_id, tenant_id, site_id, sku, cycle, units, evidence, triggered_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
# A last will knows less than what the gateway said itself: what it lacks stays.
PRESENCE: Final = """
INSERT INTO gateway_presence AS p
    (tenant_id, gateway_id, state, since, boot, mono_ms, utc, agent, outbox_frames, outbox_oldest_s, sent)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (tenant_id, gateway_id) DO UPDATE
SET state = excluded.state, since = excluded.since,
    boot = CASE WHEN excluded.utc IS NULL AND excluded.state = 'offline' THEN p.boot ELSE excluded.boot END,
    mono_ms = CASE WHEN excluded.utc IS NULL AND excluded.state = 'offline' THEN p.mono_ms ELSE excluded.mono_ms END,
    utc = CASE WHEN excluded.utc IS NULL AND excluded.state = 'offline' THEN p.utc ELSE excluded.utc END,
    agent = CASE WHEN excluded.agent = '' THEN p.agent ELSE excluded.agent END,
    outbox_frames = excluded.outbox_frames, outbox_oldest_s = excluded.outbox_oldest_s,
    sent = CASE WHEN excluded.sent = '{}' THEN p.sent ELSE excluded.sent END, updated_at = now()
"""
NOTIFY: Final = "SELECT pg_notify(%s, %s)"
ANCHOR: Final = """
INSERT INTO clock_anchor AS a (tenant_id, gateway_id, boot, zero_at, seen_at) VALUES (%s, %s, %s, %s, clock_timestamp())
ON CONFLICT (tenant_id, gateway_id, boot) DO UPDATE SET zero_at = excluded.zero_at, seen_at = excluded.seen_at
"""
# Of each gateway the newest boots stay.
ANCHORS_FORGET: Final = """
DELETE FROM clock_anchor a
USING (
    SELECT tenant_id, gateway_id, boot,
           row_number() OVER (PARTITION BY tenant_id, gateway_id ORDER BY seen_at DESC) AS place
    FROM clock_anchor
    JOIN (SELECT DISTINCT * FROM unnest(%(tenants)s::text[], %(gateways)s::text[])) AS n (tenant_id, gateway_id)
         USING (tenant_id, gateway_id)
) AS o
WHERE (a.tenant_id, a.gateway_id, a.boot) = (o.tenant_id, o.gateway_id, o.boot) AND o.place > %(most)s
"""
ANSWER: Final = """
SELECT apply_answer(%s::text, %s::text, %s::text, %s::text, %s::jsonb, %s::text, %s::integer, %s::boolean,
                    %s::timestamptz)
"""

# ------------------------------------------------------------------ late frames

HOLD: Final = """
INSERT INTO unsynced_frame (tenant_id, gateway_id, lane, ep, seq, boot, received_at, topic, payload)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
# A step from boot to boot along the index, however many frames each of them has.
ANCHORED: Final = """
WITH RECURSIVE held AS (
    (SELECT tenant_id, gateway_id, boot FROM unsynced_frame ORDER BY tenant_id, gateway_id, boot LIMIT 1)
    UNION ALL
    SELECT following.* FROM held h, LATERAL (
        SELECT tenant_id, gateway_id, boot FROM unsynced_frame u
        WHERE (u.tenant_id, u.gateway_id, u.boot) > (h.tenant_id, h.gateway_id, h.boot)
        ORDER BY tenant_id, gateway_id, boot LIMIT 1
    ) AS following
)
SELECT tenant_id, gateway_id, boot FROM held JOIN clock_anchor USING (tenant_id, gateway_id, boot)
"""
HELD_OF_BOOT: Final = """
SELECT frame_id, tenant_id, gateway_id, lane, ep, seq, topic, payload, received_at
FROM unsynced_frame
WHERE (tenant_id, gateway_id, boot) = (%(tenant)s, %(gateway)s, %(boot)s)
ORDER BY frame_id LIMIT %(limit)s
"""
EXPIRED: Final = """
SELECT frame_id, tenant_id, gateway_id, lane, ep, seq, topic, payload, received_at
FROM unsynced_frame
WHERE received_at < %(before)s AND frame_id > %(after)s
ORDER BY frame_id LIMIT %(limit)s
"""
RETRY: Final = """
SELECT quarantine_id, tenant_id, gateway_id, lane, ep, seq, topic, payload, received_at
FROM quarantine
WHERE state = 'retry' AND quarantine_id > %(after)s
ORDER BY quarantine_id LIMIT %(limit)s
"""
RELEASE: Final = "DELETE FROM unsynced_frame WHERE frame_id = ANY(%(ids)s)"
RETRIED: Final = "UPDATE quarantine SET state = 'retried' WHERE quarantine_id = ANY(%(ids)s) AND state = 'retry'"
HELD_BACK: Final = """
UPDATE quarantine q SET state = 'held', reason = f.reason, detail = f.detail
FROM unnest(%(ids)s::bigint[], %(reasons)s::text[], %(details)s::text[]) AS f (quarantine_id, reason, detail)
WHERE q.quarantine_id = f.quarantine_id AND q.state = 'retry'
"""
EVENT_TIME: Final = """
UPDATE shelf_event SET time = %s, synced = true WHERE (tenant_id, gateway_id, event_id) = (%s, %s, %s) AND NOT synced
"""
_LATE: Final = """
unnest(%(tenants)s::text[], %(gateways)s::text[], %(lanes)s::text[], %(eps)s::text[], %(held)s::bigint[],
       %(released)s::bigint[], %(quarantined)s::bigint[], %(retried)s::bigint[], %(readings)s::bigint[])
    AS l (tenant_id, gateway_id, lane, ep, held, released, quarantined, retried, readings)
"""
LATE: Final = f"""
INSERT INTO ingest_late (tenant_id, gateway_id, lane, ep, held, released, quarantined, retried, readings)
SELECT * FROM {_LATE}
"""  # noqa: S608 - put together from constants
WATERMARK_LATE: Final = f"""
UPDATE ingest_watermark w
SET readings = w.readings + l.readings, quarantined = w.quarantined + l.quarantined, updated_at = now()
FROM {_LATE}
WHERE (w.tenant_id, w.gateway_id, w.lane, w.ep) = (l.tenant_id, l.gateway_id, l.lane, l.ep)
"""  # noqa: S608 - put together from constants
