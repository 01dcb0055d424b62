"""Tells the live hub, in the transaction of a change, that people decided something."""

from msgspec.json import encode

from contracts.facts import LIVE_CHANNEL, LiveNotice
from platform_api.kit.db import Connection

NOTIFY = "SELECT pg_notify(%(channel)s, %(payload)s)"


def notify_live(tx: Connection, notice: LiveNotice) -> None:
    """Send the notice when the transaction commits."""
    tx.execute(NOTIFY, {"channel": LIVE_CHANNEL, "payload": encode(notice).decode()})
