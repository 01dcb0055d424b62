-- Frames that were settled before their content could be stored: those whose clock nobody knew yet, and those in
-- quarantine that are tried again. Owned by stream/; see decision "Late frames".

-- What is known of each boot's clock: the UTC time at which its monotonic clock stood at 0. The newest word counts.
CREATE TABLE clock_anchor (
    tenant_id   text NOT NULL,
    gateway_id  text NOT NULL,
    boot        text NOT NULL,
    zero_at     timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, gateway_id, boot)
) WITH (fillfactor = 50);
INSERT INTO clock_anchor (tenant_id, gateway_id, boot, zero_at)
SELECT tenant_id, gateway_id, boot, utc - mono_ms * interval '1 ms' FROM gateway_presence
WHERE utc IS NOT NULL AND boot <> '';

-- Frames with sync:0 that wait for an anchor of their boot. The watermark has passed them.
CREATE TABLE unsynced_frame (
    frame_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    text NOT NULL,
    gateway_id   text NOT NULL,
    lane         text NOT NULL,
    ep           text NOT NULL,
    seq          bigint NOT NULL,
    boot         text NOT NULL,
    received_at  timestamptz NOT NULL,
    topic        text NOT NULL,
    payload      bytea NOT NULL,
    UNIQUE (tenant_id, gateway_id, lane, ep, seq)
);
CREATE INDEX unsynced_frame_boot ON unsynced_frame (tenant_id, gateway_id, boot, frame_id);
CREATE INDEX unsynced_frame_age ON unsynced_frame (received_at);

-- The ledger of what was settled late: one row a lane and epoch, next to ingest_batch. held frames wait; of those,
-- released found their time and quarantined never did; retried came back from quarantine. readings is what they brought.
CREATE TABLE ingest_late (
    late_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id     text NOT NULL,
    gateway_id    text NOT NULL,
    lane          text NOT NULL,
    ep            text NOT NULL,
    held          bigint NOT NULL DEFAULT 0,
    released      bigint NOT NULL DEFAULT 0,
    quarantined   bigint NOT NULL DEFAULT 0,
    retried       bigint NOT NULL DEFAULT 0,
    readings      bigint NOT NULL DEFAULT 0,
    committed_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ingest_late_lane ON ingest_late (tenant_id, gateway_id, lane, ep);

-- retry: somebody asked for it, and the stream has not come to it yet.
ALTER TABLE quarantine DROP CONSTRAINT quarantine_state_check;
ALTER TABLE quarantine ADD CONSTRAINT quarantine_state_check
    CHECK (state IN ('held', 'retry', 'retried', 'discarded'));
CREATE INDEX quarantine_retry ON quarantine (quarantine_id) WHERE state = 'retry';
