"""Tenants of test data."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Mark tenants of test data, and let them be cleared."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0035_sandbox.sql").read_text(encoding="utf-8")])
