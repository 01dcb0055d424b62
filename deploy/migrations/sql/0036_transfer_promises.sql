-- Units that a transfer waits for are held where it comes from, what becomes of it is told, and proposals ask for them.
-- Owned by platform_api/stock.

-- Units of lots at a place that nobody can be promised any more: expired by the date of the books (UTC).
CREATE FUNCTION expired_units(p_tenant text, p_location text, p_sku text) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(s.units), 0)::integer FROM stock_lot s JOIN lot o USING (tenant_id, lot_id)
    WHERE s.tenant_id = p_tenant AND s.location_id = p_location AND s.sku = p_sku
      AND o.expires_on <= (book_time() AT TIME ZONE 'UTC')::date
$$;

-- held are the units of reservations with the reference transfer:<id>; transfers of old get theirs from the worker.
ALTER TABLE transfer_request_line
    ADD COLUMN held integer NOT NULL DEFAULT 0 CHECK (held >= 0),
    ADD CHECK (sent + given_up + held <= units);

-- last_act is what was done last, and told. A proposal asks each place once, ever.
ALTER TABLE transfer_request
    ADD COLUMN last_act text NOT NULL DEFAULT 'requested' CHECK (last_act IN ('requested', 'sent', 'received', 'closed')),
    ADD COLUMN proposal_id uuid;
CREATE UNIQUE INDEX transfer_request_proposal ON transfer_request (tenant_id, proposal_id, origin)
    WHERE proposal_id IS NOT NULL;
CREATE INDEX transfer_request_waiting ON transfer_request (tenant_id, origin)
    WHERE state IN ('requested', 'part_sent');

-- A transfer concerns whoever runs either end: other_org_id is a second organisation that an event concerns.
ALTER TABLE outbox ADD COLUMN other_org_id text;
CREATE INDEX outbox_other_org ON outbox (tenant_id, other_org_id, event_id) WHERE other_org_id IS NOT NULL;

DROP FUNCTION tell(text, text, text, text, jsonb);
CREATE FUNCTION tell(p_tenant text, p_org text, p_type text, p_subject text, p_data jsonb, p_other text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    told uuid := new_key();
    place bigint;
BEGIN
    INSERT INTO outbox (tenant_id, event_id, org_id, other_org_id, type, subject, data)
    VALUES (p_tenant, told, p_org, nullif(p_other, p_org), p_type, p_subject, p_data) RETURNING number INTO place;
    INSERT INTO webhook_delivery (tenant_id, webhook_id, event_id, subject, number)
    SELECT w.tenant_id, w.webhook_id, told, p_subject, place FROM webhook w
    WHERE w.tenant_id = p_tenant AND w.enabled AND (w.events = '{}' OR p_type = ANY(w.events))
      AND (w.org_id IS NULL OR w.org_id IN (SELECT org_and_above(p_tenant, p_org))
           OR w.org_id IN (SELECT org_and_above(p_tenant, p_other)));
END
$$;

CREATE FUNCTION org_of_location(p_tenant text, p_location text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT org_of_site(l.tenant_id, l.site_id) FROM location l
    WHERE l.tenant_id = p_tenant AND l.location_id = p_location
$$;

CREATE FUNCTION tell_transfer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell(
        NEW.tenant_id, org_of_location(NEW.tenant_id, NEW.destination),
        'transfer.' || NEW.last_act,
        'transfer-requests/' || NEW.transfer_id, jsonb_build_object(
        'id', NEW.transfer_id, 'from', NEW.origin, 'to', NEW.destination, 'state', NEW.state,
        'reference', NEW.reference, 'reason', NEW.reason, 'proposal', NEW.proposal_id),
        org_of_location(NEW.tenant_id, NEW.origin));
    RETURN NULL;
END
$$;
-- Once an act: parts that are sent or received are told each.
CREATE TRIGGER told_new AFTER INSERT ON transfer_request FOR EACH ROW EXECUTE FUNCTION tell_transfer();
CREATE TRIGGER told AFTER UPDATE OF last_act ON transfer_request FOR EACH ROW EXECUTE FUNCTION tell_transfer();
