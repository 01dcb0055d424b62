"""Settings of channels, labels as control data, and what detectors learnt."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Add what the detectors know, and what they learnt."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0013_detection.sql").read_text(encoding="utf-8")])
