"""SQL of uploaded files. Every statement of the API carries tenant_id; row security holds beneath it."""

_BATCH = """
SELECT import_id, kind, state, rows, created, updated, faults, created_at, committed_at
FROM import_batch WHERE tenant_id = %(tenant_id)s
"""

BATCHES = f"""{_BATCH}
  AND (%(after)s::uuid IS NULL OR import_id < %(after)s)
ORDER BY import_id DESC
LIMIT %(limit)s
"""

BATCH = f"{_BATCH} AND import_id = %(import_id)s"

LOCK_BATCH = """
SELECT kind, state, content FROM import_batch
WHERE tenant_id = %(tenant_id)s AND import_id = %(import_id)s FOR UPDATE
"""

INSERT_BATCH = """
INSERT INTO import_batch (tenant_id, import_id, kind, state, content, rows, created, updated, faults, created_by)
VALUES (%(tenant_id)s, %(import_id)s, %(kind)s, %(state)s, %(content)s, %(rows)s, %(created)s, %(updated)s, %(faults)s,
        %(user_id)s)
"""

COMMIT_BATCH = """
UPDATE import_batch
SET state = 'committed', content = NULL, rows = %(rows)s, created = %(created)s, updated = %(updated)s,
    committed_at = now()
WHERE tenant_id = %(tenant_id)s AND import_id = %(import_id)s
"""

COUNT_ORGS = "SELECT count(*) AS n FROM org WHERE tenant_id = %(tenant_id)s"

COUNT_LISTS = "SELECT count(*) AS n FROM price_list WHERE tenant_id = %(tenant_id)s"

# For the worker, of all tenants: a file that nobody committed is checked anew when somebody wants to.
FORGET = "UPDATE import_batch SET content = NULL WHERE content IS NOT NULL AND created_at < %(before)s"
