"""Silence of whole gateways by the platform's own clock: the readings' clock stands still while none comes. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from stream.watch.silence import GAP_FACTOR, GAP_FADE, INTERVALS, ROWS_MIN, SILENT_MIN_US

GatewayKey = tuple[str, str]
"""Tenant and gateway."""
RATE: Final = 0.05
GAP_MAX: Final = 20.0
"""Pauses count as at most so many usual ones."""


@dataclass(slots=True)
class _Heard:
    """When one gateway brought readings; times in µs of the platform's clock."""

    last_us: int
    usual_us: float = 0.0
    longest_us: float = 0.0
    count: int = 1

    def hear(self, now_us: int) -> None:
        gap_us = float(now_us - self.last_us)
        if gap_us <= 0:
            return
        self.usual_us = gap_us if self.count == 1 else self.usual_us + RATE * (
            min(gap_us, 4.0 * self.usual_us) - self.usual_us
        )  # fmt: skip
        self.longest_us = max(self.longest_us * GAP_FADE, min(gap_us, GAP_MAX * self.usual_us))
        self.count += 1
        self.last_us = now_us

    @property
    def patience_us(self) -> float:
        """How long it may say nothing."""
        return max(INTERVALS * self.usual_us, GAP_FACTOR * self.longest_us, float(SILENT_MIN_US))


class Heartbeats:
    """When the gateways of one bucket were heard. Begins anew with each start of the process."""

    def __init__(self) -> None:
        self._heard: dict[GatewayKey, _Heard] = {}

    def hear(self, keys: Iterable[GatewayKey], now_us: int) -> None:
        """Readings of these gateways came."""
        for key in keys:
            heard = self._heard.get(key)
            if heard is None:
                self._heard[key] = _Heard(now_us)
            else:
                heard.hear(now_us)

    def fallen_silent(self, since_us: int, now_us: int) -> list[GatewayKey]:
        """Gateways whose silence is too long, each once until it speaks again.

        ``since_us``: since when everything that was sent has been heard. A rhythm must be known first.
        """
        silent = [
            key for key, heard in self._heard.items()
            if heard.count >= ROWS_MIN and now_us - max(heard.last_us, since_us) > heard.patience_us
        ]  # fmt: skip
        for key in silent:
            del self._heard[key]
        return silent
