"""The database's schema and its history: Alembic, plain SQL, forward only.

``upgrade`` is all that a start needs. A revision is a module in ``versions/`` that executes files of ``sql/``; what
differs between storage tiers is decided there once and recorded in ``storage_state``.
"""

from pathlib import Path
from typing import Final

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.pool import NullPool

from contracts.errors import UserError
from stream import storage

HERE: Final = Path(__file__).parent
MIGRATION_LOCK: Final = 0x5348_454C_4631
"""Advisory lock: two processes that start at once migrate one after the other."""


def upgrade(dsn: str) -> None:
    """Bring the database at ``dsn`` to the newest schema; nothing happens when it is there already.

    ``dsn`` is a libpq URL. All revisions run in one transaction, so a failure leaves the database as it was.
    Raises UserError when the database cannot be reached, lacks a right, or has a schema newer than this release.
    """
    engine = _engine(dsn)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()
        found = _revision(connection)
        if found == head():
            return
        _refuse_newer(found)
        config = _config()
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
            # Whatever a revision created, no table of a tenant is left without row security.
            connection.execute(sqlalchemy.text("SELECT secure_tenants()"))
        except sqlalchemy.exc.ProgrammingError as error:
            message = f"the database cannot be migrated: {error.orig}"
            raise UserError(message, "migrate as the owner of the database") from error
        connection.commit()


def revision(dsn: str) -> str | None:
    """Schema revision of the database at ``dsn``, None when it has none. Raises UserError when it cannot be reached."""
    with _engine(dsn).connect() as connection:
        return _revision(connection)


def head() -> str:
    """The revision that this release needs."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None
    return newest


def _engine(dsn: str) -> sqlalchemy.Engine:
    # libpq reads the DSN itself: everything that psql understands works here too.
    def connect() -> storage.Connection:
        return storage.connect(dsn, application="shelfpulse migrate", autocommit=False)

    return sqlalchemy.create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("path_separator", "os")
    return config


def _revision(connection: sqlalchemy.Connection) -> str | None:
    found = MigrationContext.configure(connection).get_current_revision()
    connection.commit()
    return found


def _refuse_newer(found: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        message = f"the database has schema {found}, which this release (schema {head()}) does not know"
        raise UserError(message, "install the newer release of ShelfPulse, or use another database")
