"""The tree of organisations is one, whoever changes it."""

from pathlib import Path
from typing import Final

from alembic import op

from stream.storage import execute_script

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

SQL: Final = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Refuse rings when a transaction ends."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    execute_script(connection, [(SQL / "0039_org_tree.sql").read_text(encoding="utf-8")])
