"""``simulate fleet --raw``: plain devices, one reading a message, safe from the broker on and no further."""

import time
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Final

import msgspec

from contracts.topics import GatewayAddress, raw
from simulators.fleet_group import FleetOptions, Pace
from simulators.latencies import Latencies
from simulators.links import Broker, Link, Message, drive

VALUES: Final = 100_000
"""Values come around after so many readings, so that no two readings of a series and millisecond are equal."""


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


class PlainDevices:
    """Devices of one link, each publishing a value in turn. What the broker has not confirmed is sent again."""

    def __init__(self, topics: Sequence[str], devices: int, pace: Pace, latencies: Latencies, clock_ms: float) -> None:
        self._topics = topics
        self._devices = devices
        self._pace = pace
        self._latencies = latencies
        self._clock_ms = clock_ms
        self._number = 0
        self._again: deque[tuple[float, Message]] = deque()
        self._unconfirmed: deque[tuple[float, Message]] = deque()
        self.published_count = 0
        self.resent = 0

    @property
    def settled(self) -> bool:
        """Whether the broker has confirmed all that was written."""
        return not self._unconfirmed and not self._again

    def connected(self, now_s: float) -> None:  # noqa: ARG002 - the signature is that of a source
        """Send again what was not confirmed."""
        self._again.extend(self._unconfirmed)
        self._unconfirmed.clear()

    def next_message(self, now_s: float) -> Message | None:
        """One reading."""
        if self._again:
            entry = self._again.popleft()
            self.resent += 1
        elif self._pace.allows(now_s):
            self._pace.written += 1
            entry = (now_s, self._reading(now_s))
        else:
            return None
        self._unconfirmed.append(entry)
        return entry[1]

    def received(self, topic: str, payload: bytes, now_s: float) -> None:
        """Nothing is subscribed."""

    def published(self) -> None:
        """PUBACKs come in the order of the publishes."""
        sent_s, _ = self._unconfirmed.popleft()
        self.published_count += 1
        now_ms = int(time.monotonic() * 1000)
        self._latencies.add(now_ms, [int(sent_s * 1000)])

    def _reading(self, now_s: float) -> Message:
        self._number += 1
        number = self._number
        device = number // len(self._topics) % self._devices
        payload = b'{"ts":%d,"values":{"d%03d.weight_g":%d.%d}}' % (
            int(self._clock_ms + now_s * 1000),
            device,
            number % VALUES // 10,
            number % 10,
        )
        return Message(self._topics[number % len(self._topics)], payload)


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
    links = [Link(broker, f"raw-{options.ep}-{n}", [], source, rng) for n, source in enumerate(sources)]

    def is_done(now_s: float) -> bool:
        return pace.is_over(now_s) and all(source.settled for source in sources)

    drive(links, lambda now_s: now_s < start_s + options.deadline_s and not is_done(now_s))
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
