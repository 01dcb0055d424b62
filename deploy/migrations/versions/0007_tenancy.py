"""Tenants apart in the database, audit, idempotency keys, quotas."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Give the API a role of its own that sees one tenant at a time."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0007_tenancy.sql").read_text(encoding="utf-8")])
