"""Orders, receivables and credit."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Create the tables of orders and of what dealers owe."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0011_orders.sql").read_text(encoding="utf-8")])
