"""A gateway whose day passes a thousand times faster: the real agent, with shelves and a clock of another day.

Only the shelves and the clock are simulated. Report by exception, inference, builder, outbox and sender are the
agent's own, and so are the broker and whatever is behind it. Run as a process of its own, so that it can be killed:

    python -m simulators.day_gateway EDGE.TOML DAY      (DAY: the struct below as JSON)

SIGTERM makes it drain and end. It writes ``{"event":"day_over"}`` on stdout when the shelves have been polled to the
end of the day.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import structlog

from contracts import logs
from contracts.frames import Quality
from edge_agent.agent import Agent, Request
from edge_agent.bus.registers import Decoded
from edge_agent.clock import Instant
from edge_agent.polling import Found, Polling
from edge_agent.settings import Settings, load
from edge_agent.threads import thread_in_context
from simulators import plan as plans
from simulators.controller import ShelfController
from simulators.store import Store

SHELVES: Final = 40
BAYS: Final = 4
CAPACITY: Final = 24
UNIT_G: Final = 345.0
UNIT_SD_G: Final = 3.0
SHOPPERS_PER_HOUR: Final = 240.0
SEED: Final = 7
BUS: Final = "shelves"
SITE: Final = "store-01"
TENANT: Final = "day"
GATEWAY: Final = "gw-01"
MS_PER_S: Final = 1_000
NS_PER_MS: Final = 1_000_000

log = structlog.get_logger()


class Day(msgspec.Struct, frozen=True):
    """When the day began, and how fast it passes.

    ``start_ms``: UTC of its beginning; ``anchor_ns``: the machine's monotonic clock then. Each shelf is polled every
    ``poll_s`` seconds of the day. ``boot`` names this life of the gateway.
    """

    start_ms: int
    anchor_ns: int
    speed: float
    length_s: float
    poll_s: float
    boot: str


class FastClock:
    """The gateway's clocks on that day; they go on at their usual pace when it is over."""

    def __init__(self, day: Day) -> None:
        self._day = day
        self._booted_ms = self.utc_ms()

    @property
    def boot(self) -> str:
        """See Clock."""
        return self._day.boot

    def now(self) -> Instant:
        """See Clock."""
        utc_ms = self.utc_ms()
        return Instant(utc_ms, utc_ms - self._booted_ms, synced=True)

    def mono_ms(self, utc_ms: int) -> int:
        """The monotonic clock at a moment of the day."""
        return utc_ms - self._booted_ms

    def utc_ms(self) -> int:
        """UTC of the day."""
        real_ms = (time.monotonic_ns() - self._day.anchor_ns) / NS_PER_MS
        length_ms = self._day.length_s * MS_PER_S
        over_ms = max(0.0, real_ms - length_ms / self._day.speed)
        return self._day.start_ms + int(min(length_ms, real_ms * self._day.speed) + over_ms)


class DayPolling(Polling):
    """Polls simulated shelves in the agent's stead, on a grid of the day's time; late polls keep their own time."""

    def __init__(
        self,
        day: Day,
        clock: FastClock,
        settings: Settings,
        put: Callable[[Found], None],
        new_id: Callable[[], str],
        kept: Mapping[str, bytes],
    ) -> None:
        super().__init__(settings, put, new_id, kept)
        self._day = day
        self._clock = clock
        self._ended = threading.Event()
        self._thread = thread_in_context(self._poll, "day")

    def start(self) -> None:
        """Begin where the day is by now."""
        self._thread.start()

    def stop(self) -> None:
        """End after the shelf that is being polled."""
        self._ended.set()
        self._thread.join()

    def _poll(self) -> None:
        whole = day_plan()
        store = Store(whole, whole.stores[0], self._day.start_ms / MS_PER_S)
        step_ms = round(self._day.poll_s * MS_PER_S / len(store.controllers))
        end_ms = self._day.start_ms + round(self._day.length_s * MS_PER_S)
        turn = (self._clock.utc_ms() - self._day.start_ms) // step_ms + 1
        polls = 0
        while (at_ms := self._day.start_ms + turn * step_ms) < end_ms:
            wait_s = (at_ms - self._clock.utc_ms()) / MS_PER_S / self._day.speed
            if self._ended.wait(max(0.0, wait_s)) if wait_s > 0 else self._ended.is_set():
                return
            at_s = at_ms / MS_PER_S
            store.step(at_s)
            decoded = read_shelf(store.controllers[turn % len(store.controllers)], at_s)
            self._lines[BUS]._take(self._clock.mono_ms(at_ms), decoded)  # noqa: SLF001 - where a poller would hand it in
            turn += 1
            polls += 1
        log.info("day_played", polls=polls)
        sys.stdout.write('{"event":"day_over"}\n')
        sys.stdout.flush()


def read_shelf(controller: ShelfController, at_s: float) -> list[Decoded]:
    """What a poll of a controller would decode."""
    device = controller.plan.device
    weights = [
        Decoded(f"{device}-b{bay}.weight_g", place.bay.reading_g(at_s), Quality.GOOD)
        for bay, place in controller.places.items()
    ]
    return [*weights, Decoded(f"{device}.temp_c", controller.thermometer.reading_c(at_s), Quality.GOOD)]


def day_plan() -> plans.Plan:
    """One store, one gateway, 40 shelves of four bays."""
    skus = tuple(plans.Sku(f"sku-{number}", UNIT_G, UNIT_SD_G) for number in range(1, BAYS + 1))
    shelves = tuple(
        plans.ShelfPlan(
            _device(unit),
            unit,
            tuple(plans.BayPlan(bay, f"sku-{bay}", CAPACITY - 4, CAPACITY) for bay in range(1, BAYS + 1)),
        )
        for unit in range(1, SHELVES + 1)
    )
    gateway = plans.GatewayPlan(GATEWAY, 0, shelves)
    return plans.Plan(
        tenant=TENANT,
        seed=SEED,
        skus=skus,
        stores=(plans.StorePlan(site=SITE, shoppers_per_hour=SHOPPERS_PER_HOUR, gateways=(gateway,)),),
    )


def configure(folder: Path, broker_url: str) -> Path:
    """Write the gateway's edge.toml and slots.csv; the bus that they name is never opened."""
    rows = ["tenant,site,gateway,slot,channel,sku,unit_weight_g,unit_weight_sd_g,capacity,reorder_point,target"]
    rows += [
        f"{TENANT},{SITE},{GATEWAY},{_device(unit)}-b{bay},{_device(unit)}-b{bay}.weight_g,sku-{bay},"
        f"{UNIT_G},{UNIT_SD_G},{CAPACITY},8,{CAPACITY}"
        for unit in range(1, SHELVES + 1)
        for bay in range(1, BAYS + 1)
    ]
    (folder / "slots.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    head = f"""\
tenant = "{TENANT}"
site = "{SITE}"
gateway = "{GATEWAY}"
slots = "slots.csv"
drain_s = 300.0
[broker]
url = "{broker_url}"
[report]
heartbeat_s = 60.0
frame_ms = 60000
[[bus]]
name = "{BUS}"
kind = "tcp"
host = "127.0.0.1"
port = 1
"""
    devices = (
        f'[[device]]\nname = "{_device(unit)}"\nbus = "{BUS}"\nunit = {unit}\n'
        f'profile = "loadcell_shelf"\nbays = {BAYS}\n'
        for unit in range(1, SHELVES + 1)
    )
    config = folder / "edge.toml"
    config.write_text(head + "".join(devices), encoding="utf-8")
    return config


def _device(unit: int) -> str:
    return f"s{unit:02}"


def run(config: Path, day: Day) -> None:
    """Be the gateway until SIGTERM."""
    clock = FastClock(day)
    agent = Agent(load(config), clock, "day", partial(DayPolling, day, clock))
    signal.signal(signal.SIGTERM, lambda *_: agent.ask(Request.STOP))
    agent.run()


if __name__ == "__main__":
    logs.configure("day-gateway")
    run(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Day))
