-- What a store shall put on its shelves, and what its shelves saw of it. Owned by platform_api/replenishment.
-- source names what brought the units ('shipment', 'proposal') and source_id which; since is from when on refills count.
CREATE TABLE refill_task (
    tenant_id    text NOT NULL,
    refill_id    uuid NOT NULL,
    site_id      text NOT NULL,
    sku          text NOT NULL,
    units        integer NOT NULL CHECK (units > 0),
    seen         integer NOT NULL DEFAULT 0 CHECK (seen >= 0),
    state        text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'cancelled', 'expired')),
    source       text NOT NULL CHECK (source IN ('shipment', 'proposal')),
    source_id    uuid NOT NULL,
    since        timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    closed_at    timestamptz,
    closed_by    text NOT NULL DEFAULT '',
    version      integer NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, refill_id),
    -- Asked for once, however often a job is repeated.
    UNIQUE (tenant_id, source, source_id, sku),
    FOREIGN KEY (tenant_id, site_id) REFERENCES site,
    FOREIGN KEY (tenant_id, sku) REFERENCES sku
);
CREATE INDEX refill_task_open ON refill_task (tenant_id, site_id, sku) WHERE state = 'open';
CREATE INDEX refill_task_place ON refill_task (tenant_id, site_id, sku, since);

-- What is on its way already.
INSERT INTO refill_task (tenant_id, refill_id, site_id, sku, units, source, source_id, since)
SELECT s.tenant_id, gen_random_uuid(), s.ship_to, l.sku, sum(l.accepted), 'shipment', s.shipment_id, s.dispatched_at
FROM shipment s JOIN shipment_line l USING (tenant_id, shipment_id)
JOIN site w ON w.tenant_id = s.tenant_id AND w.site_id = s.ship_to
WHERE s.state = 'delivered' AND s.shelf_verdict = 'waiting'
  AND EXISTS (SELECT FROM slot t WHERE t.tenant_id = s.tenant_id AND t.site_id = s.ship_to AND t.sku = l.sku)
GROUP BY s.tenant_id, s.ship_to, l.sku, s.shipment_id, s.dispatched_at HAVING sum(l.accepted) > 0;
INSERT INTO refill_task (tenant_id, refill_id, site_id, sku, units, source, source_id, since)
SELECT p.tenant_id, gen_random_uuid(), p.site_id, p.sku, f.units, 'proposal', p.proposal_id, f.at
FROM proposal p JOIN proposal_flow f USING (tenant_id, proposal_id)
JOIN sku k ON k.tenant_id = p.tenant_id AND k.sku = p.sku
WHERE p.state = 'ordered' AND f.outcome IN ('transfer', 'backroom') AND f.units > 0;
