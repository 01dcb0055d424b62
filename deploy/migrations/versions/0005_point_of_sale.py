"""Sales that the tills tell."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Add the table of sales."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0005_point_of_sale.sql").read_text(encoding="utf-8")])
