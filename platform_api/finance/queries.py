"""SQL of finance. Every statement carries tenant_id; row security holds beneath it."""

_ACCOUNT = """
SELECT org_id, currency, limit_minor, receivable_minor, committed_minor, deposit_minor, auto_approve, version
FROM credit_account WHERE tenant_id = %(tenant_id)s
"""

ACCOUNTS = f"""{_ACCOUNT}
  AND (%(orgs)s::text[] IS NULL OR org_id = ANY(%(orgs)s))
  AND (%(after_org)s::text IS NULL OR (org_id, currency) > (%(after_org)s, %(after_currency)s))
ORDER BY org_id, currency
LIMIT %(limit)s
"""

ACCOUNT = f"{_ACCOUNT} AND org_id = %(org_id)s AND currency = %(currency)s"

ORG_EXISTS = "SELECT org_id FROM org WHERE tenant_id = %(tenant_id)s AND org_id = %(org_id)s"

PUT_ACCOUNT = """
INSERT INTO credit_account AS kept (tenant_id, org_id, currency, limit_minor, auto_approve)
VALUES (%(tenant_id)s, %(org_id)s, %(currency)s, %(limit_minor)s, %(auto_approve)s)
ON CONFLICT (tenant_id, org_id, currency) DO UPDATE
SET limit_minor = excluded.limit_minor, auto_approve = excluded.auto_approve, version = kept.version + 1
"""

# The one place in which credit is granted: two orders at once are judged one after the other by the row's lock.
COMMIT = """
UPDATE credit_account SET committed_minor = committed_minor + %(amount_minor)s
WHERE tenant_id = %(tenant_id)s AND org_id = %(org_id)s AND currency = %(currency)s
  AND (%(override)s OR receivable_minor + committed_minor + %(amount_minor)s - deposit_minor <= limit_minor)
RETURNING auto_approve
"""

# What leaves is owed from now on; the exposure stays the same, and must still be within the limit.
INVOICE = """
UPDATE credit_account
SET committed_minor = committed_minor - %(amount_minor)s, receivable_minor = receivable_minor + %(amount_minor)s
WHERE tenant_id = %(tenant_id)s AND org_id = %(org_id)s AND currency = %(currency)s
  AND (%(override)s OR receivable_minor + committed_minor - deposit_minor <= limit_minor)
"""

UNCOMMIT = """
UPDATE credit_account SET committed_minor = committed_minor - %(amount_minor)s
WHERE tenant_id = %(tenant_id)s AND org_id = %(org_id)s AND currency = %(currency)s
"""

ADD_ENTRY = """
INSERT INTO ar_entry (tenant_id, entry_id, org_id, currency, kind, amount_minor, source, order_id, reference, user_id)
VALUES (%(tenant_id)s, %(entry_id)s, %(org_id)s, %(currency)s, %(kind)s, %(amount_minor)s, %(source)s, %(order_id)s,
        %(reference)s, %(user_id)s)
ON CONFLICT (tenant_id, source) DO NOTHING
"""

SETTLE = """
UPDATE credit_account
SET receivable_minor = receivable_minor + %(receivable_minor)s, deposit_minor = deposit_minor + %(deposit_minor)s
WHERE tenant_id = %(tenant_id)s AND org_id = %(org_id)s AND currency = %(currency)s
"""

ENTRIES = """
SELECT entry_id, org_id, currency, kind, amount_minor, order_id, reference, at FROM ar_entry
WHERE tenant_id = %(tenant_id)s
  AND (%(orgs)s::text[] IS NULL OR org_id = ANY(%(orgs)s))
  AND (%(org_id)s::text IS NULL OR org_id = %(org_id)s)
  AND (%(after)s::uuid IS NULL OR entry_id < %(after)s)
ORDER BY entry_id DESC
LIMIT %(limit)s
"""
