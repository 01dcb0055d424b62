"""What transfers hold, and what is told of them."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Let transfers hold units, be told of, and come from proposals."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0036_transfer_promises.sql").read_text(encoding="utf-8")])
