"""SQL of webhooks. Every statement of the API carries tenant_id; row security holds beneath it."""

_WEBHOOK = """
SELECT webhook_id, org_id, url, description, events, enabled, disabled_reason, failing_since, slow, previous_until,
       created_at, version
FROM webhook WHERE tenant_id = %(tenant_id)s AND (%(orgs)s::text[] IS NULL OR org_id = ANY(%(orgs)s))
"""

WEBHOOKS = f"""{_WEBHOOK}
  AND (%(after)s::uuid IS NULL OR webhook_id > %(after)s)
ORDER BY webhook_id
LIMIT %(limit)s
"""

WEBHOOK = f"{_WEBHOOK} AND webhook_id = %(webhook_id)s"

# Changes of orders go on meanwhile: their deliveries refer to the subscription.
WEBHOOK_FOR_UPDATE = f"{WEBHOOK} FOR NO KEY UPDATE"

COUNT_WEBHOOKS = """
SELECT count(*) AS n FROM webhook
WHERE tenant_id = %(tenant_id)s AND org_id IS NOT DISTINCT FROM %(org)s::text AND enabled
"""

ORG = "SELECT FROM org WHERE tenant_id = %(tenant_id)s AND org_id = %(org)s"

INSERT_WEBHOOK = """
INSERT INTO webhook (tenant_id, webhook_id, org_id, url, description, events, enabled, disabled_reason, secret)
VALUES (%(tenant_id)s, %(webhook_id)s, %(org)s, %(url)s, %(description)s, %(events)s, %(enabled)s,
        CASE WHEN %(enabled)s THEN '' ELSE 'by hand' END, %(secret)s)
"""

# What is enabled anew is believed to work until it fails again.
UPDATE_WEBHOOK = """
UPDATE webhook
SET url = %(url)s, description = %(description)s, events = %(events)s, enabled = %(enabled)s,
    disabled_reason = CASE WHEN %(enabled)s THEN '' ELSE 'by hand' END, failing_since = NULL, rests_until = NULL,
    slow = false, version = version + 1
WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s
"""

ROTATE = "SELECT rotate_webhook(%(webhook_id)s, %(secret)s, %(until)s) AS version"

INSERT_EVENT = """
INSERT INTO outbox (tenant_id, event_id, org_id, type, subject, data)
VALUES (%(tenant_id)s, %(event_id)s, %(org)s, %(type)s, %(subject)s, %(data)s)
"""

INSERT_DELIVERY = """
INSERT INTO webhook_delivery (tenant_id, webhook_id, event_id, subject, number)
SELECT tenant_id, %(webhook_id)s, event_id, subject, number FROM outbox
WHERE tenant_id = %(tenant_id)s AND event_id = %(event_id)s
"""

EVENTS = """
SELECT event_id, type, subject, data, at FROM outbox
WHERE tenant_id = %(tenant_id)s
  AND (%(orgs)s::text[] IS NULL OR org_id = ANY(%(orgs)s) OR other_org_id = ANY(%(orgs)s))
  AND (%(types)s::text[] IS NULL OR type = ANY(%(types)s))
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
  AND (%(after)s::uuid IS NULL OR event_id > %(after)s)
ORDER BY event_id
LIMIT %(limit)s
"""

DELIVERIES = """
SELECT d.event_id, o.type, d.state, d.attempts, d.next_at, d.status, d.error, d.delivered_at
FROM webhook_delivery d JOIN outbox o USING (tenant_id, event_id)
WHERE d.tenant_id = %(tenant_id)s AND d.webhook_id = %(webhook_id)s
  AND (%(state)s::text IS NULL OR d.state = %(state)s)
  AND (%(after)s::uuid IS NULL OR d.event_id < %(after)s)
ORDER BY d.event_id DESC
LIMIT %(limit)s
"""

# Events that are named, or those of a time; of the latter what the subscription is for. Tests of others never, and
# nothing that concerns another organisation.
REPLAY = """
WITH RECURSIVE below AS (
    SELECT o.org_id FROM org o JOIN webhook w USING (tenant_id, org_id)
    WHERE w.tenant_id = %(tenant_id)s AND w.webhook_id = %(webhook_id)s
    UNION
    SELECT o.org_id FROM org o JOIN below b ON o.parent_id = b.org_id WHERE o.tenant_id = %(tenant_id)s
)
INSERT INTO webhook_delivery AS kept (tenant_id, webhook_id, event_id, subject, number)
SELECT w.tenant_id, w.webhook_id, o.event_id, o.subject, o.number
FROM webhook w JOIN outbox o USING (tenant_id)
WHERE w.tenant_id = %(tenant_id)s AND w.webhook_id = %(webhook_id)s AND o.type <> 'webhook.test'
  AND (w.org_id IS NULL OR o.org_id IN (SELECT org_id FROM below) OR o.other_org_id IN (SELECT org_id FROM below))
  AND (o.event_id = ANY(%(events)s::uuid[])
       OR (o.at >= %(since)s AND o.at < %(until)s AND (w.events = '{}' OR o.type = ANY(w.events))))
ORDER BY o.event_id
LIMIT %(maximum)s
ON CONFLICT (tenant_id, webhook_id, event_id) DO UPDATE
SET state = 'pending', attempts = 0, next_at = now(), status = NULL, error = '', delivered_at = NULL
"""

# ---------------------------------------------------------------- the worker, of all tenants

# Taken until a lease ends: what a worker that dies had taken comes again. Of an endpoint, of a tenant and in all so
# many are under way at once, counting the busy ones of this worker; those of endpoints that fail or are slow are apart,
# so that they wait for each other alone, and rest after each failure. Everyone gets one before anyone gets two. What is
# told of a thing waits for what happened to it before.
CLAIM = """
WITH busy AS (
    SELECT * FROM unnest(%(tenants)s::text[], %(webhooks)s::uuid[], %(apart)s::boolean[])
        AS b (tenant_id, webhook_id, apart)
), due AS (
    SELECT w.tenant_id, w.webhook_id, d.event_id, d.next_at, w.failing_since, w.url, w.secret,
           w.failing_since IS NOT NULL OR w.slow AS apart,
           CASE WHEN w.previous_until > %(now)s THEN w.previous_secret ELSE '' END AS previous_secret,
           row_number() OVER (PARTITION BY w.tenant_id, w.webhook_id ORDER BY d.next_at) AS nth
    FROM webhook w CROSS JOIN LATERAL (
        SELECT p.event_id, p.next_at FROM webhook_delivery p
        WHERE p.tenant_id = w.tenant_id AND p.webhook_id = w.webhook_id AND p.state = 'pending' AND p.next_at <= %(now)s
          AND NOT EXISTS (
              SELECT FROM webhook_delivery e
              WHERE e.tenant_id = p.tenant_id AND e.webhook_id = p.webhook_id AND e.subject = p.subject
                AND e.number < p.number AND e.state = 'pending')
        ORDER BY p.next_at, p.number
        LIMIT (SELECT greatest(0, CASE WHEN w.failing_since IS NOT NULL OR w.slow THEN 1 ELSE %(endpoint)s END
                                  - count(*))
               FROM busy b WHERE b.tenant_id = w.tenant_id AND b.webhook_id = w.webhook_id)
        FOR UPDATE SKIP LOCKED
    ) d
    WHERE w.enabled AND (w.rests_until IS NULL OR w.rests_until <= %(now)s)
), of_tenant AS (
    SELECT due.*, row_number() OVER (PARTITION BY tenant_id, apart ORDER BY nth, next_at)
        + (SELECT count(*) FROM busy b WHERE b.tenant_id = due.tenant_id AND b.apart = due.apart) AS turn
    FROM due
), of_all AS (
    SELECT of_tenant.*, row_number() OVER (PARTITION BY apart ORDER BY turn, next_at)
        + (SELECT count(*) FROM busy b WHERE b.apart = of_tenant.apart) AS place
    FROM of_tenant WHERE turn <= CASE WHEN apart THEN %(tenant_apart)s ELSE %(tenant)s END
), taken AS (
    UPDATE webhook_delivery d SET attempts = d.attempts + 1, next_at = %(lease)s
    FROM of_all a
    WHERE d.tenant_id = a.tenant_id AND d.webhook_id = a.webhook_id AND d.event_id = a.event_id
      AND a.place <= CASE WHEN a.apart THEN %(all_apart)s ELSE %(all)s END
    RETURNING d.tenant_id, d.webhook_id, d.event_id, d.attempts
)
SELECT taken.*, a.apart, a.failing_since, a.url, a.secret, a.previous_secret, o.type, o.subject, o.data, o.at,
       t.sandbox_of IS NOT NULL AS sandbox
FROM taken JOIN of_all a USING (tenant_id, webhook_id, event_id) JOIN outbox o USING (tenant_id, event_id)
JOIN tenant t USING (tenant_id)
ORDER BY o.number
"""

# Only the attempt that was claimed: a replay that came meanwhile begins anew.
SETTLE = """
UPDATE webhook_delivery
SET state = %(state)s, next_at = coalesce(%(next_at)s, next_at), status = %(status)s, error = %(error)s,
    delivered_at = %(delivered_at)s
WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s AND event_id = %(event_id)s
  AND state = 'pending' AND attempts = %(attempts)s
"""

NOTE_WELL = """
UPDATE webhook SET failing_since = NULL, rests_until = NULL, slow = %(slow)s
WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s AND (failing_since IS NOT NULL OR slow <> %(slow)s)
"""

NOTE_FAILING = """
UPDATE webhook SET failing_since = coalesce(failing_since, %(now)s), rests_until = %(rests_until)s
WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s
"""

DISABLE = """
UPDATE webhook SET enabled = false, disabled_reason = %(reason)s, version = version + 1
WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s AND enabled
  AND (%(failing_before)s::timestamptz IS NULL OR failing_since < %(failing_before)s)
"""

FORGET = "DELETE FROM outbox WHERE at < %(before)s"
