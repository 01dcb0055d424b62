"""Whom an event concerns, and in which order events are told."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Give events an organisation and a number, and subscriptions the organisation whose matters they tell."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0024_webhook_orgs.sql").read_text(encoding="utf-8")])
