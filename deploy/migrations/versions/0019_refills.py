"""What stores shall put on their shelves."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Add the tasks of stores."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0019_refills.sql").read_text(encoding="utf-8")])
