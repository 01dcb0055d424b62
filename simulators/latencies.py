"""Latencies in whole milliseconds, counted: a run of millions of frames keeps one integer a millisecond."""

from collections import Counter
from collections.abc import Iterable


class Latencies:
    """How long frames waited for their ack. ``strange_acks`` counts payloads that were no ack."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.strange_acks = 0

    def add(self, now_ms: int, written_ms: Iterable[int]) -> None:
        """Frames written at these times were acknowledged now."""
        self._counts.update(max(0, now_ms - at_ms) for at_ms in written_ms)

    def quantile_ms(self, share: float) -> float | None:
        """The latency that this share of the frames did not exceed; None without any."""
        wanted = share * self._counts.total()
        seen = 0
        for latency_ms in sorted(self._counts):
            seen += self._counts[latency_ms]
            if seen >= wanted:
                return float(latency_ms)
        return None
