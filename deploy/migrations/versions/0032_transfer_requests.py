"""Transfers that are asked for, sent and received in parts."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Create the tables of transfer requests."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0032_transfer_requests.sql").read_text(encoding="utf-8")])
