"""The plan of promotions."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Create the table of the plan."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0028_promotion_plan.sql").read_text(encoding="utf-8")])
