"""A sender under test, with a clock that the test sets."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from contracts.topics import GatewayAddress
from edge_agent.clock import Instant
from edge_agent.outbox.store import FrameStore
from edge_agent.settings import Broker, parse_broker
from edge_agent.uplink.downlink import OnDown
from edge_agent.uplink.sender import Sender

HERE = GatewayAddress("demo", "store-01", "gw-01")


class HandClock:
    """The machine's clocks, believed when the test says so."""

    def __init__(self, *, synced: bool = True) -> None:
        self.synced = synced

    @property
    def boot(self) -> str:
        return "b007"

    def now(self) -> Instant:
        return Instant(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000, self.synced)


@contextmanager
def sending(
    store: FrameStore,
    broker: str | Broker,
    address: GatewayAddress = HERE,
    *,
    clock: HandClock | None = None,
    on_down: OnDown | None = None,
    jitter: Callable[[], float] = lambda: 0.2,
) -> Iterator[Sender]:
    sender = Sender(
        address=address,
        broker=parse_broker(broker, "url") if isinstance(broker, str) else broker,
        store=store,
        clock=clock or HandClock(),
        agent="test",
        on_down=on_down,
        jitter=jitter,
    )
    sender.start()
    try:
        yield sender
    finally:
        sender.stop()
        assert sender.error is None


def all_committed(store: FrameStore) -> Callable[[], bool]:
    return lambda: all(marks.committed == marks.last for marks in store.marks().values())
