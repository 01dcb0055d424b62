"""What is let in although it is older than retention."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Add the table of backfills."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0006_backfill.sql").read_text(encoding="utf-8")])
