-- What somebody lets in although it is older than retention, and the days that are kept for it.
CREATE TABLE backfill (
    backfill_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   text NOT NULL,
    gateway_id  text NOT NULL,
    -- '' for readings of plain devices, which have no incarnation.
    ep          text NOT NULL,
    -- Whole UTC days, the end excluded.
    lo          timestamptz NOT NULL,
    hi          timestamptz NOT NULL CHECK (hi > lo),
    opened_at   timestamptz NOT NULL DEFAULT now(),
    open_until  timestamptz NOT NULL
);
CREATE INDEX backfill_days ON backfill (lo, hi);
CREATE TRIGGER control_backfill AFTER INSERT OR UPDATE OR DELETE ON backfill
    FOR EACH STATEMENT EXECUTE FUNCTION notify_control();
