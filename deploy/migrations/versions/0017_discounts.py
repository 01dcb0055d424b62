"""Discounts of orders."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Add discounts of orders and lines."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0017_discounts.sql").read_text(encoding="utf-8")])
