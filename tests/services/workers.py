"""The worker as a real process."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType


@contextmanager
def worker(
    dsn: str, log: Path, port: int = 0, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[bytes]]:
    """A running worker; killed at the end when it still runs. ``settings`` are further variables."""
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", "worker", "run"],
            env={**os.environ, "SHELFPULSE_DSN": dsn, "SHELFPULSE_METRICS_PORT": str(port), **settings},
            stderr=stderr,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
