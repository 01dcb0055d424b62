"""Lookups that read a whole table."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Add an index for each of them."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0033_lookups.sql").read_text(encoding="utf-8")])
