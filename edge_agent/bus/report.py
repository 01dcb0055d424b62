"""Which readings are worth sending: report by exception, with a heartbeat. Pure."""

from collections.abc import Iterable, Mapping

from edge_agent.bus.registers import Decoded


class Reporter:
    """Remembers what was sent last of each channel.

    ``deadbands`` by channel, in the channel's unit; ``heartbeat_ms``: a channel is sent at least so often.
    """

    def __init__(self, deadbands: Mapping[str, float], heartbeat_ms: int) -> None:
        self._deadbands = deadbands
        self._heartbeat_ms = heartbeat_ms
        self._sent: dict[str, tuple[int, Decoded]] = {}

    def select(self, mono_ms: int, polled: Iterable[Decoded]) -> list[Decoded]:
        """What is to be sent: first of its channel, quality changed, outside the deadband, or the heartbeat is due."""
        sent, deadbands, heartbeat_ms = self._sent, self._deadbands, self._heartbeat_ms
        admitted = []
        for decoded in polled:
            channel, value, quality = decoded
            last = sent.get(channel)
            if last is not None:
                sent_ms, (_, sent_value, sent_quality) = last
                if (
                    abs(value - sent_value) <= deadbands[channel]
                    and quality is sent_quality
                    and mono_ms - sent_ms < heartbeat_ms
                ):
                    continue
            sent[channel] = (mono_ms, decoded)
            admitted.append(decoded)
        return admitted
