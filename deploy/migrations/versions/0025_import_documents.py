"""Documents that files brought."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Create the table of imported documents."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0025_import_documents.sql").read_text(encoding="utf-8")])
