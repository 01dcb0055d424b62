"""Endpoints that fail rest before they are asked again."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Remember until when an endpoint is left alone."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0038_webhook_rest.sql").read_text(encoding="utf-8")])
