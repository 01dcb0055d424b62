"""Discounts as amounts, and what lanes between sites cost."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Change the table of discounts, and create that of lanes."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0027_terms.sql").read_text(encoding="utf-8")])
