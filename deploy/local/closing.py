"""How a limited run ends: production stops, everything is handed over, and the account is drawn up."""

from collections.abc import Sequence
from typing import Final

import msgspec
import psycopg

from deploy.local.deadline import wait_until
from deploy.local.figures import Counts, Tally, read_counts
from deploy.local.outboxes import Written

DRAIN_S: Final = 60.0
"""How long after the last gateway stopped the dataflow may take to commit what it was given."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The account of a run, as ``up --for … --json`` prints it.

    ``readings_sent`` were written to the gateways' outboxes in all starts of this state directory, without those
    declared lost (``gaps`` counts their frames); None when the stack has no gateways of its own. ``verify`` is
    ``"ok"`` or what is broken. ``lag_p99_ms`` is None without readings.
    """

    readings_sent: int | None
    readings_committed: int
    duplicates_dropped: int
    gaps: int
    quarantined: int
    lag_p99_ms: float | None
    events: int
    anomalies: int
    proposals: int
    verify: str | list[str]

    @property
    def is_ok(self) -> bool:
        """Whether everything that was sent is there, once."""
        return self.readings_sent in {None, self.readings_committed} and self.verify == "ok"


def drain(connection: psycopg.Connection, tenant: str, sent: int) -> Counts:
    """Wait until as many readings of a tenant are committed as were sent, at most ``DRAIN_S``; the counts then."""
    counts = read_counts(connection, tenant)

    def settled() -> bool:
        nonlocal counts
        counts = read_counts(connection, tenant)
        return counts.committed >= sent

    wait_until(settled, DRAIN_S)
    return counts


def summarise(written: Written | None, counts: Counts, tally: Tally, broken: Sequence[str]) -> Summary:
    """Draw up the account."""
    return Summary(
        readings_sent=None if written is None else written.readings,
        readings_committed=counts.committed,
        duplicates_dropped=tally.duplicates,
        gaps=counts.gaps,
        quarantined=counts.quarantined,
        lag_p99_ms=tally.lag_ms(0.99),
        events=counts.events,
        anomalies=counts.anomalies,
        proposals=counts.proposals,
        verify=list(broken) or "ok",
    )
