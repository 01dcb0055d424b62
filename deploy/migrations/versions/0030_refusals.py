"""What was not accepted at the door."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Let lines and returns say what was refused or missing, and credit what never was."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0030_refusals.sql").read_text(encoding="utf-8")])
