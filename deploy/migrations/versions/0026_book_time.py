"""The time that the books write down."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Let a history be written with its own times."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0026_book_time.sql").read_text(encoding="utf-8")])
