"""The audit log: who changed what, one row a write, in the transaction of the write itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from psycopg.types.json import Jsonb

from platform_api.kit.db import Connection

SUBJECT_MAX_CHARS: Final = 200

NOTE: Final = """
INSERT INTO audit_log (tenant_id, user_id, login, by_key, action, subject, detail)
VALUES (%(tenant_id)s, %(user_id)s, %(login)s, %(by_key)s, %(action)s, %(subject)s, %(detail)s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One write. ``action`` is the method and pattern of its route, ``subject`` what fills the pattern."""

    tenant_id: str
    user_id: UUID
    login: str
    by_key: str
    action: str
    subject: Mapping[str, Any]
    detail: Mapping[str, Any] = field(default_factory=dict)


def note(tx: Connection, entry: Entry) -> None:
    """Write an entry; it goes when the transaction is rolled back."""
    tx.execute(
        NOTE,
        {
            "tenant_id": entry.tenant_id,
            "user_id": entry.user_id,
            "login": entry.login,
            "by_key": entry.by_key,
            "action": entry.action,
            # A path may hold what jsonb cannot (a zero byte); such a thing does not exist, and is refused later.
            "subject": Jsonb({name: _printable(value) for name, value in entry.subject.items()}),
            "detail": Jsonb(dict(entry.detail)),
        },
    )


def _printable(value: object) -> str:
    return str(value)[:SUBJECT_MAX_CHARS].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
