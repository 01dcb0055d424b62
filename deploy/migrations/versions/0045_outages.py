"""Open outages are found without a look at all anomalies."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Create the index."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0045_outages.sql").read_text(encoding="utf-8")])
