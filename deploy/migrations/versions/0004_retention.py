"""Retention of the ledger, the quarantine and rollups by the minute."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Add the mark of the merged ledger."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0004_retention.sql").read_text(encoding="utf-8")])
