"""Lots of units that are gone."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Take lots that sales never took off what was sold."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0031_lots.sql").read_text(encoding="utf-8")])
