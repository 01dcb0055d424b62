-- What sold by SKU, in hours and days of the site's clock: a sum over a year must not read each sale of it. Kept by
-- triggers in the transaction that writes the event, so that it is never behind and counts nothing twice; it outlives
-- events that are deleted. gateway_id is in the key, so that processes of the stream never wait for each other's row.
CREATE TABLE sell_through (
    tenant_id   text NOT NULL,
    site_id     text NOT NULL,
    step        text NOT NULL CHECK (step IN ('hour', 'day')),
    start       timestamptz NOT NULL,
    sku         text NOT NULL,
    gateway_id  text NOT NULL,
    sold        bigint NOT NULL,
    put_back    bigint NOT NULL,
    restocked   bigint NOT NULL,
    PRIMARY KEY (tenant_id, site_id, step, start, sku, gateway_id)
) WITH (fillfactor = 80);
REVOKE INSERT, UPDATE, DELETE ON sell_through FROM shelfpulse_api;

-- The three figures of events; sales count down what is on the shelf, so sold is positive.
CREATE VIEW selling WITH (security_invoker = true) AS
SELECT e.tenant_id, e.site_id, e.gateway_id, e.event_id, e.sku, e.time, s.timezone,
       CASE WHEN e.kind = 'sale' THEN -e.units ELSE 0 END AS sold,
       CASE WHEN e.kind = 'put_back' THEN e.units ELSE 0 END AS put_back,
       CASE WHEN e.kind IN ('restock', 'remove') THEN e.units ELSE 0 END AS restocked
FROM shelf_event e JOIN site s USING (tenant_id, site_id)
WHERE e.kind IN ('sale', 'put_back', 'restock', 'remove');

CREATE FUNCTION add_sell_through(e shelf_event, sign integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO sell_through AS t
        (tenant_id, site_id, step, start, sku, gateway_id, sold, put_back, restocked)
    SELECT e.tenant_id, e.site_id, steps.step, date_trunc(steps.step, e.time, s.timezone), e.sku, e.gateway_id,
           CASE WHEN e.kind = 'sale' THEN -e.units ELSE 0 END * sign,
           CASE WHEN e.kind = 'put_back' THEN e.units ELSE 0 END * sign,
           CASE WHEN e.kind IN ('restock', 'remove') THEN e.units ELSE 0 END * sign
    FROM site s CROSS JOIN (VALUES ('hour'), ('day')) AS steps (step)
    WHERE s.tenant_id = e.tenant_id AND s.site_id = e.site_id
    ON CONFLICT (tenant_id, site_id, step, start, sku, gateway_id) DO UPDATE
    SET sold = t.sold + excluded.sold, put_back = t.put_back + excluded.put_back,
        restocked = t.restocked + excluded.restocked
$$;
CREATE FUNCTION count_sell_through() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM add_sell_through(OLD, -1);
    END IF;
    PERFORM add_sell_through(NEW, 1);
    RETURN NULL;
END
$$;
CREATE TRIGGER sell_through_insert AFTER INSERT ON shelf_event FOR EACH ROW
    WHEN (NEW.kind IN ('sale', 'put_back', 'restock', 'remove')) EXECUTE FUNCTION count_sell_through();
-- A gateway that had no clock says later when it was.
CREATE TRIGGER sell_through_update AFTER UPDATE OF time ON shelf_event FOR EACH ROW
    WHEN (NEW.kind IN ('sale', 'put_back', 'restock', 'remove') AND NEW.time <> OLD.time)
    EXECUTE FUNCTION count_sell_through();

-- Anew from the events that there are: of one site, or (NULL) of all.
CREATE FUNCTION sum_sell_through(of_tenant text, of_site text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO sell_through (tenant_id, site_id, step, start, sku, gateway_id, sold, put_back, restocked)
    SELECT tenant_id, site_id, step, date_trunc(step, time, timezone), sku, gateway_id,
           sum(sold), sum(put_back), sum(restocked)
    FROM selling CROSS JOIN (VALUES ('hour'), ('day')) AS steps (step)
    WHERE of_tenant IS NULL OR (tenant_id = of_tenant AND site_id = of_site)
    GROUP BY 1, 2, 3, 4, 5, 6
$$;
SELECT sum_sell_through(NULL, NULL);

-- Hours and days of another clock. What is written meanwhile waits: it would be counted by neither or by both.
CREATE FUNCTION shift_sell_through() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    LOCK TABLE sell_through IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM sell_through WHERE tenant_id = NEW.tenant_id AND site_id = NEW.site_id;
    PERFORM sum_sell_through(NEW.tenant_id, NEW.site_id);
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION sum_sell_through(text, text), add_sell_through(shelf_event, integer) FROM PUBLIC;
CREATE TRIGGER sell_through_clock AFTER UPDATE OF timezone ON site FOR EACH ROW
    WHEN (NEW.timezone <> OLD.timezone) EXECUTE FUNCTION shift_sell_through();
