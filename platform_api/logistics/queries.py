"""SQL of logistics. Every statement carries tenant_id; row security holds beneath it."""

CARRIERS = """
SELECT carrier_id, kind, name FROM carrier
WHERE tenant_id = %(tenant_id)s AND (%(after)s::text IS NULL OR carrier_id > %(after)s)
ORDER BY carrier_id LIMIT %(limit)s
"""

CARRIER = "SELECT carrier_id, kind, name FROM carrier WHERE tenant_id = %(tenant_id)s AND carrier_id = %(carrier)s"

INSERT_CARRIER = """
INSERT INTO carrier (tenant_id, carrier_id, kind, name, secret)
VALUES (%(tenant_id)s, %(carrier)s, %(kind)s, %(name)s, %(secret)s)
ON CONFLICT DO NOTHING
"""

KEY_OF = "SELECT auth_carrier(%(tenant_id)s, %(carrier)s) AS secret"

_SHIPMENT = """
SELECT s.shipment_id, s.order_id, s.org_id, s.ship_from, s.ship_to, s.carrier_id, s.tracking_no, s.state,
       s.shelf_verdict, s.shelf_seen, s.dispatched_at, s.eta, s.delivered_at, s.version,
       o.currency,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('line', l.line_no, 'sku', l.sku, 'units', l.units,
                                                     'accepted', l.accepted, 'missing', l.missing,
                                                     'invoiced_minor', l.invoiced_minor,
                                                     'credited_minor', l.credited_minor) ORDER BY l.line_no), '[]')
        FROM shipment_line l WHERE l.tenant_id = s.tenant_id AND l.shipment_id = s.shipment_id) AS lines
FROM shipment s JOIN sales_order o USING (tenant_id, order_id)
WHERE s.tenant_id = %(tenant_id)s AND (%(orgs)s::text[] IS NULL OR s.org_id = ANY(%(orgs)s))
"""

SHIPMENTS = f"""{_SHIPMENT}
  AND (%(order_id)s::uuid IS NULL OR s.order_id = %(order_id)s)
  AND (%(after)s::uuid IS NULL OR s.shipment_id < %(after)s)
ORDER BY s.shipment_id DESC
LIMIT %(limit)s
"""

SHIPMENT = f"{_SHIPMENT} AND s.shipment_id = %(shipment_id)s"

ORDER_OF = """
SELECT s.order_id FROM shipment s
WHERE s.tenant_id = %(tenant_id)s AND s.shipment_id = %(shipment_id)s
  AND (%(orgs)s::text[] IS NULL OR s.org_id = ANY(%(orgs)s))
"""

LOCK_SHIPMENT = f"{SHIPMENT} FOR UPDATE OF s"

BY_TRACKING = """
SELECT shipment_id, state FROM shipment
WHERE tenant_id = %(tenant_id)s AND carrier_id = %(carrier)s AND tracking_no = %(tracking_no)s
FOR UPDATE
"""

INSERT_SHIPMENT = """
INSERT INTO shipment (tenant_id, shipment_id, order_id, org_id, ship_from, ship_to, carrier_id, tracking_no, eta)
VALUES (%(tenant_id)s, %(shipment_id)s, %(order_id)s, %(org_id)s, %(ship_from)s, %(ship_to)s, %(carrier)s,
        %(tracking_no)s, %(eta)s)
ON CONFLICT (tenant_id, carrier_id, tracking_no) DO NOTHING
"""

INSERT_LINE = """
INSERT INTO shipment_line (tenant_id, shipment_id, line_no, sku, units, invoiced_minor)
VALUES (%(tenant_id)s, %(shipment_id)s, %(line_no)s, %(sku)s, %(units)s, %(invoiced_minor)s)
"""

INSERT_EVENT = """
INSERT INTO tracking_event (tenant_id, shipment_id, event_id, state, place, note, at)
VALUES (%(tenant_id)s, %(shipment_id)s, %(event_id)s, %(state)s, %(place)s, %(note)s, %(at)s)
ON CONFLICT DO NOTHING
"""

SET_STATE = """
UPDATE shipment SET state = %(state)s, eta = coalesce(%(eta)s, eta), version = version + 1
WHERE tenant_id = %(tenant_id)s AND shipment_id = %(shipment_id)s
"""

EVENTS = """
SELECT event_id, state, place, note, at FROM tracking_event
WHERE tenant_id = %(tenant_id)s AND shipment_id = %(shipment_id)s ORDER BY at, event_id
"""

PROOF = """
SELECT signer, at, lat, lon, signature IS NOT NULL AS signature, photo IS NOT NULL AS photo, note
FROM proof_of_delivery WHERE tenant_id = %(tenant_id)s AND shipment_id = %(shipment_id)s
"""

IMAGE_OF = """
SELECT p.signature, p.photo FROM proof_of_delivery p JOIN shipment s USING (tenant_id, shipment_id)
WHERE s.tenant_id = %(tenant_id)s AND s.shipment_id = %(shipment_id)s
  AND (%(orgs)s::text[] IS NULL OR s.org_id = ANY(%(orgs)s))
"""

INSERT_PROOF = """
INSERT INTO proof_of_delivery (tenant_id, shipment_id, signer, at, lat, lon, signature, photo, note, user_id)
VALUES (%(tenant_id)s, %(shipment_id)s, %(signer)s, %(at)s, %(lat)s, %(lon)s, %(signature)s, %(photo)s, %(note)s,
        %(user_id)s)
"""

ACCEPT = """
UPDATE shipment_line SET accepted = %(accepted)s, missing = %(missing)s, credited_minor = %(credited_minor)s
WHERE tenant_id = %(tenant_id)s AND shipment_id = %(shipment_id)s AND line_no = %(line_no)s
"""

DELIVER = """
UPDATE shipment SET state = 'delivered', delivered_at = %(at)s, version = version + 1
WHERE tenant_id = %(tenant_id)s AND shipment_id = %(shipment_id)s
"""

UNDELIVERED = """
SELECT count(*) AS n FROM shipment
WHERE tenant_id = %(tenant_id)s AND order_id = %(order_id)s AND state <> 'delivered'
"""

# What is invoiced of an order, by line, for units that nobody has signed for.
INVOICED_ON_THE_WAY = """
SELECT l.line_no, sum(l.invoiced_minor)::bigint AS minor
FROM shipment s JOIN shipment_line l USING (tenant_id, shipment_id)
WHERE s.tenant_id = %(tenant_id)s AND s.order_id = %(order_id)s AND s.state <> 'delivered'
GROUP BY l.line_no
"""

# What the shelves of the store saw of the units (replenishment's tasks); NULL where no slot counts the SKU, or where
# somebody said that the units stay in the back room: then no shelf can speak of them.
REFILLS = """
SELECT l.sku, sum(l.accepted)::int AS accepted,
       (SELECT r.seen FROM refill_task r
        WHERE r.tenant_id = l.tenant_id AND r.source = 'shipment' AND r.source_id = l.shipment_id AND r.sku = l.sku
          AND r.state <> 'cancelled'
       ) AS seen
FROM shipment_line l
WHERE l.tenant_id = %(tenant_id)s AND l.shipment_id = %(shipment_id)s
GROUP BY l.tenant_id, l.shipment_id, l.sku
ORDER BY l.sku
"""

TO_JUDGE = """
SELECT s.tenant_id, s.shipment_id, s.order_id, s.dispatched_at FROM shipment s
WHERE s.state = 'delivered' AND s.shelf_verdict = 'waiting'
  AND (%(after_tenant)s::text IS NULL OR (s.tenant_id, s.shipment_id) > (%(after_tenant)s, %(after)s))
ORDER BY s.tenant_id, s.shipment_id
LIMIT %(limit)s
"""

# Those of an order that no shelf has confirmed.
UNCONFIRMED = """
SELECT count(*) AS n FROM shipment
WHERE tenant_id = %(tenant_id)s AND order_id = %(order_id)s AND shelf_verdict NOT IN ('confirmed', 'unknown')
"""

SIMULATED = """
SELECT s.tenant_id, s.shipment_id, s.tracking_no, s.state, s.dispatched_at
FROM shipment s JOIN carrier c USING (tenant_id, carrier_id)
WHERE c.kind = 'simulated' AND s.state IN ('dispatched', 'in_transit')
ORDER BY s.tenant_id, s.shipment_id
LIMIT 500
FOR UPDATE OF s SKIP LOCKED
"""

SET_VERDICT = """
UPDATE shipment SET shelf_verdict = %(verdict)s, shelf_seen = %(seen)s
WHERE tenant_id = %(tenant_id)s AND shipment_id = %(shipment_id)s
"""
