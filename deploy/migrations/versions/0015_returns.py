"""Goods that come back."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Add what returns need."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0015_returns.sql").read_text(encoding="utf-8")])
