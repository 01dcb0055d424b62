"""Which readings are worth sending: report by exception, with a heartbeat. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from contracts.frames import Quality
from edge_agent.bus.registers import Decoded


class _Sent(NamedTuple):
    mono_ms: int
    value: float
    quality: Quality


class Reporter:
    """Remembers what was sent last of each channel.

    ``deadbands`` by channel, in the channel's unit; ``heartbeat_ms``: a channel is sent at least so often.
    """

    def __init__(self, deadbands: Mapping[str, float], heartbeat_ms: int) -> None:
        self._deadbands = deadbands
        self._heartbeat_ms = heartbeat_ms
        self._sent: dict[str, _Sent] = {}

    def admit(self, mono_ms: int, decoded: Decoded) -> bool:
        """Whether to send: first of its channel, quality changed, outside the deadband, or the heartbeat is due."""
        last = self._sent.get(decoded.channel)
        if (
            last is not None
            and mono_ms - last.mono_ms < self._heartbeat_ms
            and last.quality == decoded.quality
            and abs(decoded.value - last.value) <= self._deadbands[decoded.channel]
        ):
            return False
        self._sent[decoded.channel] = _Sent(mono_ms, decoded.value, decoded.quality)
        return True
