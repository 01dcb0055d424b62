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

DOCUMENT = """
SELECT sha256, subject FROM import_document
WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND number = %(number)s
"""

KEEP_DOCUMENT = """
INSERT INTO import_document (tenant_id, kind, number, sha256, subject)
VALUES (%(tenant_id)s, %(kind)s, %(number)s, %(sha256)s, %(subject)s)
"""

COUNT_ORGS = "SELECT count(*) AS n FROM org WHERE tenant_id = %(tenant_id)s"

COUNT_LISTS = "SELECT count(*) AS n FROM price_list WHERE tenant_id = %(tenant_id)s"

# Only the newest files wait to be committed: what is older is checked anew when somebody wants to.
KEEP_NEWEST = """
UPDATE import_batch SET content = NULL
WHERE tenant_id = %(tenant_id)s AND content IS NOT NULL AND import_id < (
    SELECT import_id FROM import_batch WHERE tenant_id = %(tenant_id)s AND content IS NOT NULL
    ORDER BY import_id DESC OFFSET %(newest)s - 1 LIMIT 1)
"""

# For the worker, of all tenants: a file that nobody committed is checked anew when somebody wants to.
FORGET = "UPDATE import_batch SET content = NULL WHERE content IS NOT NULL AND created_at < %(before)s"

DELETE_OLD = "DELETE FROM import_batch WHERE created_at < %(before)s"
