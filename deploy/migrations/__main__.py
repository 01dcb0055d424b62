"""``python -m deploy.migrations``: brings the database at SHELFPULSE_DSN to the newest schema, as a job of its own."""

import os
import sys

from contracts.errors import UserError
from deploy.migrations import revision, upgrade


def main() -> int:
    """Migrate; returns the exit code."""
    dsn = os.environ.get("SHELFPULSE_DSN")
    if not dsn:
        sys.stderr.write("error: SHELFPULSE_DSN is not set\n")
        return 2
    try:
        upgrade(dsn)
        sys.stdout.write(f"schema {revision(dsn)}\n")
    except UserError as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
