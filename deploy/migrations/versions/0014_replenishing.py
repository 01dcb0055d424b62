"""How proposals become orders and transfers."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Add what the way from a proposal to an order needs."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0014_replenishing.sql").read_text(encoding="utf-8")])
