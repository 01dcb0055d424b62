-- Devices from afar: claims, credentials, desired configuration, commands. Owned by platform_api/devices.
-- The broker's access list is made from credential; the worker publishes commands and configurations.

-- An invitation of one use. The code itself is shown once and kept as a hash.
CREATE TABLE claim (
    claim_id      uuid PRIMARY KEY,
    tenant_id     text NOT NULL,
    gateway_id    text NOT NULL,
    code_hash     bytea NOT NULL UNIQUE,
    created_by    uuid REFERENCES app_user,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    used_at       timestamptz,
    used_machine  text,
    FOREIGN KEY (tenant_id, gateway_id) REFERENCES gateway
);
CREATE INDEX claim_gateway ON claim (tenant_id, gateway_id, created_at DESC);

-- What a gateway proves itself with at the broker: hashes only, in the forms that brokers read.
CREATE TABLE credential (
    credential_id  uuid PRIMARY KEY,
    tenant_id      text NOT NULL,
    gateway_id     text NOT NULL,
    claim_id       uuid NOT NULL REFERENCES claim,
    machine        text NOT NULL,
    pbkdf2         text NOT NULL,
    bcrypt         text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    revoked_at     timestamptz,
    FOREIGN KEY (tenant_id, gateway_id) REFERENCES gateway
);
CREATE UNIQUE INDEX credential_live ON credential (tenant_id, gateway_id) WHERE revoked_at IS NULL;
CREATE INDEX credential_gateway ON credential (tenant_id, gateway_id, created_at DESC);

-- Each version that was ever desired; the newest is retained on dn/…/cfg.
CREATE TABLE gateway_config (
    tenant_id     text NOT NULL,
    gateway_id    text NOT NULL,
    version       integer NOT NULL CHECK (version > 0),
    config        jsonb NOT NULL,
    sha256        text NOT NULL,
    state         text NOT NULL DEFAULT 'desired' CHECK (state IN ('desired', 'sent', 'applied', 'refused', 'superseded')),
    error         text NOT NULL DEFAULT '',
    created_by    uuid REFERENCES app_user,
    created_at    timestamptz NOT NULL DEFAULT now(),
    sent_at       timestamptz,
    reported_at   timestamptz,
    PRIMARY KEY (tenant_id, gateway_id, version),
    FOREIGN KEY (tenant_id, gateway_id) REFERENCES gateway
);
CREATE INDEX gateway_config_desired ON gateway_config (created_at) WHERE state = 'desired';

CREATE TABLE command (
    command_id   text PRIMARY KEY,
    tenant_id    text NOT NULL,
    gateway_id   text NOT NULL,
    kind         text NOT NULL,
    args         jsonb NOT NULL DEFAULT '{}',
    state        text NOT NULL DEFAULT 'queued'
                 CHECK (state IN ('queued', 'sent', 'acked', 'done', 'failed', 'expired')),
    result       jsonb NOT NULL DEFAULT '{}',
    error        text NOT NULL DEFAULT '',
    created_by   uuid REFERENCES app_user,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    sent_at      timestamptz,
    acked_at     timestamptz,
    finished_at  timestamptz,
    tried_at     timestamptz,  -- last time that it was published, heard or not
    FOREIGN KEY (tenant_id, gateway_id) REFERENCES gateway
);
CREATE INDEX command_recent ON command (tenant_id, gateway_id, created_at DESC);
CREATE INDEX command_waiting ON command (expires_at) WHERE state IN ('queued', 'sent', 'acked');
CREATE INDEX command_due ON command (tried_at NULLS FIRST, created_at) WHERE state IN ('queued', 'sent');

-- What a gateway answered on lane rsp. Called by the stream in the epoch's transaction; repeating it changes nothing,
-- and a command never goes back: done and failed are ends. So is expired, unless the gateway says that it acted: the
-- platform calls a command expired when it has heard nothing, and an answer may wait in an outbox for days.
-- A configuration that was superseded while the gateway was away may be answered all the same.
CREATE FUNCTION apply_answer(
    p_tenant text, p_gateway text, p_command text, p_state text, p_result jsonb, p_error text,
    p_cfg integer, p_applied boolean, p_at timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_command <> '' THEN
        UPDATE command SET
            state = p_state, result = p_result, error = p_error,
            acked_at = coalesce(acked_at, CASE WHEN p_state <> 'expired' THEN p_at END),
            finished_at = CASE WHEN p_state IN ('done', 'failed', 'expired') THEN p_at END
        WHERE command_id = p_command AND tenant_id = p_tenant AND gateway_id = p_gateway
          AND p_state IN ('acked', 'done', 'failed', 'expired')
          AND (state IN ('queued', 'sent') OR (state = 'acked' AND p_state <> 'acked')
               OR (state = 'expired' AND p_state IN ('done', 'failed')));
    END IF;
    IF p_cfg IS NOT NULL THEN
        UPDATE gateway_config SET
            state = CASE WHEN p_applied THEN 'applied' ELSE 'refused' END, error = p_error, reported_at = p_at
        WHERE tenant_id = p_tenant AND gateway_id = p_gateway AND version = p_cfg
          AND (reported_at IS NULL OR state <> CASE WHEN p_applied THEN 'applied' ELSE 'refused' END);
    END IF;
END
$$;

-- Who publishes and who writes the access list wait for these.
CREATE FUNCTION notify_downlink() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(TG_ARGV[0], TG_TABLE_NAME);
    RETURN NULL;
END
$$;
CREATE TRIGGER downlink_command AFTER INSERT ON command
    FOR EACH STATEMENT EXECUTE FUNCTION notify_downlink('shelfpulse_downlink');
CREATE TRIGGER downlink_config AFTER INSERT ON gateway_config
    FOR EACH STATEMENT EXECUTE FUNCTION notify_downlink('shelfpulse_downlink');
CREATE TRIGGER access_credential AFTER INSERT OR UPDATE OR DELETE ON credential
    FOR EACH STATEMENT EXECUTE FUNCTION notify_downlink('shelfpulse_access');
CREATE TRIGGER access_gateway AFTER UPDATE OR DELETE ON gateway
    FOR EACH STATEMENT EXECUTE FUNCTION notify_downlink('shelfpulse_access');
