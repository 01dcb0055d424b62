"""Forecasts of demand and how good they were."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Add the tables of the night."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0010_forecast.sql").read_text(encoding="utf-8")])
