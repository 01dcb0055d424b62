"""Log-in by a provider of identities."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Create the tables of attempts and of linked identities."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0023_identities.sql").read_text(encoding="utf-8")])
