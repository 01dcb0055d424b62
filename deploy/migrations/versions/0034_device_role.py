"""The role of devices."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Let users be devices."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0034_device_role.sql").read_text(encoding="utf-8")])
