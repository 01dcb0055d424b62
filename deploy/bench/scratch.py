"""Where a benchmark runs: a database of its own, an environment that leads to no other stack."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from stream import storage
from stream.storage import Connection


@contextmanager
def scratch_database(server_dsn: str) -> Iterator[str]:
    """A database of the run's own on a given server; the empty string when the stack shall bring one."""
    if not server_dsn:
        yield ""
        return
    name = f"shelfpulse_bench_{os.getpid()}"
    with storage.connect(server_dsn, application="shelfpulse bench") as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield storage.other_database(server_dsn, name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def clean_environment(dsn: str) -> dict[str, str]:
    """Our environment without what would lead to another stack."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("SHELFPULSE_", "MQTT_"))}
    return ours | ({"SHELFPULSE_DSN": dsn} if dsn else {})


def package_versions() -> dict[str, str]:
    """Python, and the packages that the figures depend on."""
    packages = ("shelfpulse", "bytewax", "numpy", "psycopg", "paho-mqtt")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def versions(connection: Connection, broker: str) -> dict[str, str]:
    """What was measured, of which version."""
    extension = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
    return {
        **package_versions(),
        "postgresql": connection.info.parameter_status("server_version") or "",
        "timescaledb": extension[0] if extension else "",
        "broker": broker,
    }
