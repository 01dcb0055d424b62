"""``simulate fleet --raw``: plain devices, one reading a message, safe from the broker on and no further."""

import time
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

import msgspec

from contracts.topics import GatewayAddress, raw
from simulators.fleet_group import FleetOptions, Pace
from simulators.latencies import Latencies
from simulators.links import Broker, drive
from simulators.plain_link import PlainLink, Publish, publish_head

VALUES: Final = 90_000
"""Values come around after so many readings, so that no two readings of a series and millisecond are equal."""
_VALUES: Final = [b"%d.%d}}" % divmod(number, 10) for number in range(10_000, 10_000 + VALUES)]
"""All with as many digits: with that and the 13 of a time (until 2286) all payloads of a device are of one length."""
REST_S: Final = 0.002
_TIME: Final = b'{"ts":%d'
_TIME_BYTES: Final = len(_TIME % 1_700_000_000_000)


class RawReport(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of a raw run. ``published`` counts messages that the broker has confirmed; latencies are of PUBACKs."""

    complete: bool
    gateways: int
    readings: int
    published: int
    resent: int
    seconds: float
    messages_per_s: float
    puback_p50_ms: float | None
    puback_p99_ms: float | None
    connections: int
    cpu_s: float


class _Sent(NamedTuple):
    """Messages that were written at once."""

    at_s: float
    messages: list[Publish]


class PlainDevices:
    """Devices of one link, each publishing a value in turn. What the broker has not confirmed is sent again."""

    def __init__(self, topics: Sequence[str], devices: int, pace: Pace, latencies: Latencies, clock_ms: float) -> None:
        names = [b',"values":{"d%03d.weight_g":' % device for device in range(devices)]
        payload_bytes = _TIME_BYTES + len(names[0]) + len(_VALUES[0])
        # Device after device, and of each device gateway after gateway.
        self._channels = [(publish_head(topic, payload_bytes), name) for name in names for topic in topics]
        self._pace = pace
        self._latencies = latencies
        self._clock_ms = clock_ms
        self._number = 0
        self._again: deque[_Sent] = deque()
        self._unconfirmed: deque[_Sent] = deque()
        self.published_count = 0
        self.resent = 0

    @property
    def settled(self) -> bool:
        """Whether the broker has confirmed all that was written."""
        return not self._unconfirmed and not self._again

    def connected(self) -> None:
        """Send again what was not confirmed."""
        self._again.extend(self._unconfirmed)
        self._unconfirmed.clear()

    def next_batch(self, room: int, now_s: float) -> Sequence[Publish]:
        """One reading a message."""
        if self._again:
            # It was within the window of the connection before, so it is within this one's as well.
            sent = self._again.popleft()
            if len(sent.messages) > room:
                self._again.appendleft(_Sent(sent.at_s, sent.messages[room:]))
                sent = _Sent(sent.at_s, sent.messages[:room])
            self.resent += len(sent.messages)
        else:
            sent = _Sent(now_s, self._readings(self._pace.take(room, now_s), now_s))
        if sent.messages:
            self._unconfirmed.append(sent)
        return sent.messages

    def confirmed(self, count: int, now_s: float) -> None:
        """PUBACKs come in the order of the publishes."""
        self.published_count += count
        now_ms = int(now_s * 1000)
        while count:
            sent = self._unconfirmed.popleft()
            settled = min(count, len(sent.messages))
            self._latencies.add(now_ms, [int(sent.at_s * 1000)] * settled)
            if settled < len(sent.messages):
                self._unconfirmed.appendleft(_Sent(sent.at_s, sent.messages[settled:]))
            count -= settled

    def _readings(self, count: int, now_s: float) -> list[Publish]:
        taken = _TIME % int(self._clock_ms + now_s * 1000)
        first = self._number + 1
        self._number += count
        channels, size = self._channels, len(self._channels)
        readings = []
        for number in range(first, first + count):
            head, name = channels[number % size]
            readings.append(Publish(head, taken + name + _VALUES[number % VALUES]))
        return readings


def run_raw(
    options: FleetOptions, gateways: Sequence[GatewayAddress], broker: Broker, *, start_s: float, clock_ms: float
) -> RawReport:
    """Publish until the plan is done and all is confirmed, or the deadline has come. Raises UserError."""
    cpu_s = time.process_time()
    rng = Random(options.seed)
    pace = Pace(options, start_s)
    latencies = Latencies()
    topics = [raw(address) for address in gateways]
    count = min(options.connections, len(topics))
    sources = [PlainDevices(topics[n::count], options.devices, pace, latencies, clock_ms) for n in range(count)]
    links = [PlainLink(broker, f"raw-{options.ep}-{n}", source, rng) for n, source in enumerate(sources)]

    def is_done(now_s: float) -> bool:
        return pace.is_over(now_s) and all(source.settled for source in sources)

    drive(links, lambda now_s: now_s < start_s + options.deadline_s and not is_done(now_s), rest_s=REST_S)
    ended_s = time.monotonic()
    for link in links:
        link.close()
    published = sum(source.published_count for source in sources)
    return RawReport(
        complete=is_done(ended_s),
        gateways=len(topics),
        readings=pace.written,
        published=published,
        resent=sum(source.resent for source in sources),
        seconds=round(ended_s - start_s, 3),
        messages_per_s=round(published / (ended_s - start_s), 1),
        puback_p50_ms=latencies.quantile_ms(0.50),
        puback_p99_ms=latencies.quantile_ms(0.99),
        connections=sum(link.connections for link in links),
        cpu_s=round(time.process_time() - cpu_s, 3),
    )
