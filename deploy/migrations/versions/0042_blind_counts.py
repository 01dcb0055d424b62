"""Nobody is told what is booked while somebody counts."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Say what is being counted."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0042_blind_counts.sql").read_text(encoding="utf-8")])
