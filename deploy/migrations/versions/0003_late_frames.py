"""Frames that are settled before their content can be stored: clocks to be repaired, quarantine to be tried again."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Create what late frames wait in, and the ledger of them."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0003_late.sql").read_text(encoding="utf-8")])
