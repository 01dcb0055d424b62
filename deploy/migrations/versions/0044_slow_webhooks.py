"""Slow endpoints are asked apart from the quick ones."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Know which endpoints are slow."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0044_slow_webhooks.sql").read_text(encoding="utf-8")])
