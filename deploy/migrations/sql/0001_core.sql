-- ShelfPulse's first schema. Names on the wire ([a-z0-9][a-z0-9_-]{0,31}) are the keys of what devices speak of;
-- what people and the stream create has a uuid. Every table of a tenant starts its key with tenant_id.
-- Times are timestamptz, weights grams, counts integers in base units, money integer minor units.
--
-- Telemetry tables (reading, reading_1m/1h/1d) are in 0001_telemetry.sql, where the storage tier adds its suffix.

-- ---------------------------------------------------------------- tenancy: owned by platform_api/tenancy

CREATE TABLE tenant (
    tenant_id   text PRIMARY KEY,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE org (
    tenant_id   text NOT NULL REFERENCES tenant,
    org_id      text NOT NULL,
    parent_id   text,
    kind        text NOT NULL CHECK (kind IN ('brand', 'region', 'dealer', 'store')),
    name        text NOT NULL,
    PRIMARY KEY (tenant_id, org_id),
    FOREIGN KEY (tenant_id, parent_id) REFERENCES org
);

CREATE TABLE app_user (
    user_id       uuid PRIMARY KEY,
    tenant_id     text NOT NULL REFERENCES tenant,
    org_id        text,
    login         text NOT NULL UNIQUE,
    name          text NOT NULL,
    role          text NOT NULL CHECK (role IN ('hq', 'dealer', 'rep', 'store', 'ops', 'auditor')),
    password_hash text NOT NULL,
    locale        text NOT NULL DEFAULT 'en',
    disabled      boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (tenant_id, org_id) REFERENCES org
);

CREATE TABLE refresh_token (
    token_hash  bytea PRIMARY KEY,
    family      uuid NOT NULL,
    user_id     uuid NOT NULL REFERENCES app_user ON DELETE CASCADE,
    issued_at   timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz
);
CREATE INDEX refresh_token_family ON refresh_token (family);

CREATE TABLE api_key (
    key_id      uuid PRIMARY KEY,
    tenant_id   text NOT NULL REFERENCES tenant,
    user_id     uuid NOT NULL REFERENCES app_user ON DELETE CASCADE,
    prefix      text NOT NULL UNIQUE,
    key_hash    bytea NOT NULL,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    revoked_at  timestamptz
);

-- ---------------------------------------------------------------- what stands where: owned by platform_api/devices

CREATE TABLE site (
    tenant_id   text NOT NULL REFERENCES tenant,
    site_id     text NOT NULL,
    org_id      text,
    kind        text NOT NULL DEFAULT 'store' CHECK (kind IN ('store', 'warehouse')),
    name        text NOT NULL,
    city        text NOT NULL DEFAULT '',
    lat         double precision,
    lon         double precision,
    timezone    text NOT NULL DEFAULT 'Asia/Shanghai',
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, site_id),
    FOREIGN KEY (tenant_id, org_id) REFERENCES org
);

-- Registered gateways; telemetry of any other is counted, sampled and dropped, never settled.
CREATE TABLE gateway (
    tenant_id   text NOT NULL,
    gateway_id  text NOT NULL,
    site_id     text NOT NULL,
    name        text NOT NULL DEFAULT '',
    revoked_at  timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, gateway_id),
    FOREIGN KEY (tenant_id, site_id) REFERENCES site
);
CREATE INDEX gateway_site ON gateway (tenant_id, site_id);

CREATE TABLE device (
    tenant_id   text NOT NULL,
    gateway_id  text NOT NULL,
    device_id   text NOT NULL,
    profile     text NOT NULL DEFAULT '',
    name        text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, gateway_id, device_id),
    FOREIGN KEY (tenant_id, gateway_id) REFERENCES gateway
);

CREATE TABLE sku (
    tenant_id        text NOT NULL REFERENCES tenant,
    sku              text NOT NULL,
    name_zh          text NOT NULL DEFAULT '',
    name_en          text NOT NULL DEFAULT '',
    gtin             text NOT NULL DEFAULT '',
    unit_weight_g    double precision NOT NULL CHECK (unit_weight_g > 0),
    unit_weight_sd_g double precision NOT NULL DEFAULT 0 CHECK (unit_weight_sd_g >= 0),
    pack_units       integer NOT NULL DEFAULT 1 CHECK (pack_units > 0),
    price_minor      bigint NOT NULL DEFAULT 0,
    currency         text NOT NULL DEFAULT 'CNY',
    PRIMARY KEY (tenant_id, sku)
);

-- A place on a shelf that holds one SKU. Unique within its gateway.
CREATE TABLE slot (
    tenant_id        text NOT NULL,
    gateway_id       text NOT NULL,
    slot_id          text NOT NULL,
    site_id          text NOT NULL,
    channel          text NOT NULL,
    sku              text NOT NULL,
    unit_weight_g    double precision NOT NULL CHECK (unit_weight_g > 0),
    unit_weight_sd_g double precision NOT NULL DEFAULT 0,
    capacity         integer NOT NULL CHECK (capacity > 0),
    PRIMARY KEY (tenant_id, gateway_id, slot_id),
    FOREIGN KEY (tenant_id, gateway_id) REFERENCES gateway,
    FOREIGN KEY (tenant_id, site_id) REFERENCES site,
    FOREIGN KEY (tenant_id, sku) REFERENCES sku
);
CREATE INDEX slot_site ON slot (tenant_id, site_id, sku);

-- ---------------------------------------------------------------- replenishment: owned by platform_api/replenishment

-- One policy per (site, SKU); the slots of the SKU there are summed.
CREATE TABLE stock_policy (
    tenant_id      text NOT NULL,
    site_id        text NOT NULL,
    sku            text NOT NULL,
    reorder_point  integer NOT NULL CHECK (reorder_point >= 0),
    target         integer NOT NULL CHECK (target > 0),
    mode           text NOT NULL DEFAULT 'suggest' CHECK (mode IN ('off', 'suggest', 'auto')),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, site_id, sku),
    FOREIGN KEY (tenant_id, site_id) REFERENCES site,
    FOREIGN KEY (tenant_id, sku) REFERENCES sku,
    CHECK (target > reorder_point)
);

CREATE TABLE proposal (
    proposal_id   uuid PRIMARY KEY,
    tenant_id     text NOT NULL,
    site_id       text NOT NULL,
    sku           text NOT NULL,
    cycle         integer NOT NULL,
    units         integer NOT NULL CHECK (units > 0),
    state         text NOT NULL DEFAULT 'open'
                  CHECK (state IN ('open', 'approved', 'ordered', 'received', 'rejected', 'expired', 'disputed')),
    evidence      jsonb NOT NULL DEFAULT '{}',
    triggered_at  timestamptz NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    version       integer NOT NULL DEFAULT 1
);
-- The last word on "once per cycle": two workers, a replay or a crash never make a second live one.
CREATE UNIQUE INDEX proposal_live ON proposal (tenant_id, site_id, sku) WHERE state IN ('open', 'approved', 'ordered');
CREATE INDEX proposal_recent ON proposal (tenant_id, created_at DESC);

-- ---------------------------------------------------------------- telemetry: owned by stream/

CREATE TABLE series (
    series_id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   text NOT NULL,
    gateway_id  text NOT NULL,
    channel     text NOT NULL,
    class       text NOT NULL DEFAULT '',
    interval_s  double precision,
    limit_c     double precision,
    limit_s     double precision,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, gateway_id, channel)
);

-- Newest good reading of each series; only newer readings update it, so a backfill never turns it back.
CREATE TABLE latest_value (
    series_id   integer PRIMARY KEY,
    time        timestamptz NOT NULL,
    value       double precision NOT NULL,
    quality     smallint NOT NULL
) WITH (fillfactor = 50);

-- Highest committed sequence of each lane: the promise to the gateway, moved in the epoch's own transaction.
-- frame_digest: sum of contracts.frames.digest over settled frames, modulo 2^64 (I2).
CREATE TABLE ingest_watermark (
    tenant_id    text NOT NULL,
    gateway_id   text NOT NULL,
    lane         text NOT NULL,
    ep           text NOT NULL,
    seq          bigint NOT NULL,
    frames       bigint NOT NULL DEFAULT 0,
    readings     bigint NOT NULL DEFAULT 0,
    gap_frames   bigint NOT NULL DEFAULT 0,
    quarantined  bigint NOT NULL DEFAULT 0,
    frame_digest numeric(20, 0) NOT NULL DEFAULT 0,
    closed       boolean NOT NULL DEFAULT false,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, gateway_id, lane, ep)
) WITH (fillfactor = 50);
-- One open incarnation a lane.
CREATE UNIQUE INDEX ingest_watermark_open ON ingest_watermark (tenant_id, gateway_id, lane) WHERE NOT closed;

-- The ledger of commits: one row a lane and epoch. verify (I1) proves that the ranges tile 1 … watermark.
-- quarantined and gap_frames count those among from_seq … to_seq that brought no readings.
CREATE TABLE ingest_batch (
    batch_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    text NOT NULL,
    gateway_id   text NOT NULL,
    lane         text NOT NULL,
    ep           text NOT NULL,
    from_seq     bigint NOT NULL,
    to_seq       bigint NOT NULL,
    readings     bigint NOT NULL,
    gap_frames   bigint NOT NULL,
    quarantined  bigint NOT NULL,
    frame_digest numeric(20, 0) NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT now(),
    CHECK (from_seq <= to_seq)
);
CREATE INDEX ingest_batch_lane ON ingest_batch (tenant_id, gateway_id, lane, ep, from_seq);

-- What the readings of a gateway and day add up to: count and sum of a 64-bit hash of (series, time, value),
-- modulo 2^64. verify (I2) computes the same from the rows of reading. By day, so that retention can drop both.
CREATE TABLE ingest_digest (
    tenant_id       text NOT NULL,
    gateway_id      text NOT NULL,
    day             date NOT NULL,
    readings        bigint NOT NULL,
    reading_digest  numeric(20, 0) NOT NULL,
    PRIMARY KEY (tenant_id, gateway_id, day)
) WITH (fillfactor = 50);

CREATE TABLE ingest_gap (
    tenant_id   text NOT NULL,
    gateway_id  text NOT NULL,
    lane        text NOT NULL,
    ep          text NOT NULL,
    from_seq    bigint NOT NULL,
    to_seq      bigint NOT NULL,
    reason      text NOT NULL,
    noted_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, gateway_id, lane, ep, from_seq)
);

-- Fence: who owns a source partition. Taken on start, checked in every epoch's transaction; the loser exits.
CREATE TABLE ingest_owner (
    partition   text PRIMARY KEY,
    generation  bigint NOT NULL,
    owner       text NOT NULL,
    taken_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE quarantine (
    quarantine_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at    timestamptz NOT NULL DEFAULT now(),
    tenant_id      text NOT NULL DEFAULT '',
    gateway_id     text NOT NULL DEFAULT '',
    lane           text NOT NULL DEFAULT '',
    ep             text NOT NULL DEFAULT '',
    seq            bigint,
    topic          text NOT NULL,
    reason         text NOT NULL,
    detail         text NOT NULL,
    payload        bytea NOT NULL,
    payload_bytes  integer NOT NULL,
    state          text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'retried', 'discarded'))
);
CREATE INDEX quarantine_recent ON quarantine (tenant_id, received_at DESC);
CREATE UNIQUE INDEX quarantine_frame ON quarantine (tenant_id, gateway_id, lane, ep, seq) WHERE seq IS NOT NULL;

CREATE TABLE gateway_presence (
    tenant_id      text NOT NULL,
    gateway_id     text NOT NULL,
    state          text NOT NULL,
    since          timestamptz,
    boot           text NOT NULL DEFAULT '',
    mono_ms        bigint NOT NULL DEFAULT 0,
    utc            timestamptz,
    agent          text NOT NULL DEFAULT '',
    outbox_frames  bigint NOT NULL DEFAULT 0,
    outbox_oldest_s double precision NOT NULL DEFAULT 0,
    sent           jsonb NOT NULL DEFAULT '{}',
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, gateway_id)
) WITH (fillfactor = 50);

-- Decisions of the edge, kept as they came. received_at orders what people see; time is when it happened.
CREATE TABLE shelf_event (
    tenant_id    text NOT NULL,
    gateway_id   text NOT NULL,
    event_id     text NOT NULL,
    time         timestamptz NOT NULL,
    site_id      text NOT NULL,
    slot_id      text NOT NULL,
    sku          text NOT NULL DEFAULT '',
    kind         text NOT NULL,
    units        integer NOT NULL,
    delta_g      double precision NOT NULL,
    confidence   double precision NOT NULL,
    on_shelf     integer,
    of_event     text NOT NULL DEFAULT '',
    why          text NOT NULL DEFAULT '',
    other        jsonb NOT NULL DEFAULT '{}',
    synced       boolean NOT NULL DEFAULT true,
    lane_seq     bigint NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, gateway_id, event_id)
);
CREATE INDEX shelf_event_site ON shelf_event (tenant_id, site_id, time DESC);
CREATE INDEX shelf_event_slot ON shelf_event (tenant_id, gateway_id, slot_id, time DESC);
CREATE INDEX shelf_event_recent ON shelf_event (tenant_id, received_at DESC);

-- Units on each slot after the newest event of its lane.
CREATE TABLE shelf_position (
    tenant_id   text NOT NULL,
    gateway_id  text NOT NULL,
    slot_id     text NOT NULL,
    site_id     text NOT NULL,
    sku         text NOT NULL,
    on_shelf    integer NOT NULL,
    as_of       timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, gateway_id, slot_id)
) WITH (fillfactor = 50);
CREATE INDEX shelf_position_site ON shelf_position (tenant_id, site_id, sku);

CREATE TABLE anomaly (
    anomaly_id   uuid PRIMARY KEY,
    tenant_id    text NOT NULL,
    site_id      text NOT NULL,
    gateway_id   text NOT NULL,
    kind         text NOT NULL,
    place_kind   text NOT NULL CHECK (place_kind IN ('series', 'slot', 'device', 'gateway')),
    place        text NOT NULL,
    start_at     timestamptz NOT NULL,
    end_at       timestamptz,
    detected_at  timestamptz NOT NULL,
    severity     double precision NOT NULL,
    score        double precision NOT NULL,
    evidence     jsonb NOT NULL DEFAULT '{}',
    state        text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'resolved', 'dismissed')),
    label        text CHECK (label IN ('true', 'false', 'expected')),
    note         text NOT NULL DEFAULT '',
    decided_by   uuid REFERENCES app_user,
    decided_at   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    version      integer NOT NULL DEFAULT 1
);
CREATE INDEX anomaly_recent ON anomaly (tenant_id, detected_at DESC);
CREATE INDEX anomaly_place ON anomaly (tenant_id, place, start_at DESC);

-- Ranges of readings that the rollups have not seen yet; the worker takes them and calls refresh(lo, hi).
CREATE TABLE rollup_dirty (
    dirty_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lo        timestamptz NOT NULL,
    hi        timestamptz NOT NULL
);

-- ---------------------------------------------------------------- control data reaches the stream by NOTIFY

CREATE FUNCTION notify_control() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('shelfpulse_control', TG_TABLE_NAME);
    RETURN NULL;
END
$$;

CREATE TRIGGER control_gateway AFTER INSERT OR UPDATE OR DELETE ON gateway
    FOR EACH STATEMENT EXECUTE FUNCTION notify_control();
CREATE TRIGGER control_slot AFTER INSERT OR UPDATE OR DELETE ON slot
    FOR EACH STATEMENT EXECUTE FUNCTION notify_control();
CREATE TRIGGER control_stock_policy AFTER INSERT OR UPDATE OR DELETE ON stock_policy
    FOR EACH STATEMENT EXECUTE FUNCTION notify_control();
CREATE TRIGGER control_sku AFTER INSERT OR UPDATE OR DELETE ON sku
    FOR EACH STATEMENT EXECUTE FUNCTION notify_control();
-- A proposal decided by people ends or continues its cycle. Inserts are the stream's own.
CREATE TRIGGER control_proposal AFTER UPDATE ON proposal
    FOR EACH STATEMENT EXECUTE FUNCTION notify_control();
