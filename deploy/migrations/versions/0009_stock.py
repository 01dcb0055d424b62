"""The ledger of stock, its projection, counts, periods, reconciliation."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Create the tables of stock, and a location for each site that there is."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0009_stock.sql").read_text(encoding="utf-8")])
