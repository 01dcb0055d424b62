"""Lists of transfers walk along indexes of their places."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Create the indexes."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0041_transfer_walks.sql").read_text(encoding="utf-8")])
