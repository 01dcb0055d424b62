"""Devices from afar: claims, credentials, desired configuration, commands."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Create the tables of what is done to devices from afar."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0002_devices.sql").read_text(encoding="utf-8")])
