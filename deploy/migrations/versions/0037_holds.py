"""Places for what may not be sold."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Give each site a place for stock on hold, and returns a way there."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0037_holds.sql").read_text(encoding="utf-8")])
