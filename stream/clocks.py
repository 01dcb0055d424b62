"""What is known of the clocks of gateways: when the monotonic clock of a boot stood at 0. Pure.

A presence with ``utc`` anchors a boot. Several boots of a gateway are remembered, since an outbox may still hold frames
of the one before; within a boot the newest anchor counts, so a corrected clock sets right what is not repaired yet.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

BOOTS_MAX: Final = 16
"""Boots remembered of each gateway, the newest."""
HELD_FOR: Final = timedelta(days=7)
"""How long a frame waits for an anchor of its boot before it goes to quarantine."""

Gateway = tuple[str, str]
"""Tenant and gateway."""


class Anchors:
    """Anchors of many gateways. ``known``: of each gateway the UTC ms at which each boot began, oldest first."""

    def __init__(self, known: Mapping[Gateway, Mapping[str, int]]) -> None:
        self._zero_ms: dict[Gateway, dict[str, int]] = {gateway: dict(boots) for gateway, boots in known.items()}

    def note(self, gateway: Gateway, boot: str, zero_ms: int) -> None:
        """Remember that the monotonic clock of ``boot`` stood at 0 at ``zero_ms`` UTC."""
        boots = self._zero_ms.setdefault(gateway, {})
        boots.pop(boot, None)
        boots[boot] = zero_ms
        if len(boots) > BOOTS_MAX:
            del boots[next(iter(boots))]

    def utc_ms(self, gateway: Gateway, boot: str, mono_ms: int) -> int | None:
        """UTC ms at ``mono_ms`` of ``boot``; None while nobody knows."""
        zero_ms = self._zero_ms.get(gateway, {}).get(boot)
        return None if zero_ms is None else zero_ms + mono_ms
