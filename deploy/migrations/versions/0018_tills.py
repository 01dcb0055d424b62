"""Sales of tills in the books."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Let sales of tills be booked."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0018_tills.sql").read_text(encoding="utf-8")])
