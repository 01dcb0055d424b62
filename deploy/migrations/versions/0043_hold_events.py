"""What goes on hold is told."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Tell of stock on hold."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0043_hold_events.sql").read_text(encoding="utf-8")])
