"""What is kept of refused messages: samples of what settles nothing, and payloads up to a bound. Pure.

Whoever floods us with poison must fill neither the database nor our memory.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Final

from stream.facts import Facts, QuarantineRow

if TYPE_CHECKING:
    from contracts.frames import Reason

STRAYS_KEPT_MAX: Final = 20
"""Samples kept of one gateway's messages without a place, for each reason and hour."""
STRAYS_AN_HOUR_MAX: Final = 2_000
"""Samples of a bucket in an hour, however many gateways, reasons and made up names they are of."""
PAYLOADS_AN_HOUR_MAX: Final = 64 * 1024 * 1024
"""Bytes of refused frames of one gateway that are kept in an hour: a frame that is settled needs its row, no more."""


class Samples:
    """What one bucket has kept in this hour."""

    def __init__(self) -> None:
        self._hour = 0
        self._strays: dict[tuple[str, str, Reason], int] = {}
        self._strays_kept = 0
        self._payload_bytes: dict[tuple[str, str], int] = {}

    @property
    def kinds(self) -> int:
        """Gateways and reasons of which samples were kept in this hour."""
        return len(self._strays)

    def take(self, row: QuarantineRow, facts: Facts, now: datetime) -> QuarantineRow | None:
        """Count what settles nothing, and keep samples; a flood of it must not fill the database."""
        reason = row.fault.reason
        facts.strays[reason] = facts.strays.get(reason, 0) + 1
        self._begin_hour(now)
        seen = self._strays.get((row.tenant, row.gateway, reason), 0)
        if seen >= STRAYS_KEPT_MAX or self._strays_kept >= STRAYS_AN_HOUR_MAX:
            return None
        self._strays[row.tenant, row.gateway, reason] = seen + 1
        self._strays_kept += 1
        return row

    def bound(self, row: QuarantineRow, now: datetime) -> QuarantineRow:
        """The row, without its payload once its gateway has filled its share of this hour."""
        self._begin_hour(now)
        gateway = (row.tenant, row.gateway)
        used = self._payload_bytes.get(gateway, 0) + len(row.message.payload)
        if used > PAYLOADS_AN_HOUR_MAX:
            return row._replace(keeps_payload=False)
        self._payload_bytes[gateway] = used
        return row

    def _begin_hour(self, now: datetime) -> None:
        hour = int(now.timestamp()) // 3600
        if hour != self._hour:
            self._hour, self._strays_kept = hour, 0
            self._strays.clear()
            self._payload_bytes.clear()
