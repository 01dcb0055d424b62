"""``simulate fleet``: many gateways over few connections, with real frames and end-to-end acknowledgement.

Written for load: it shares the machine with what it measures. Frames come from templates, acks of all gateways of a
link arrive on one connection, and nothing is kept of a frame but its time. The fleet goes on through a killed or
wiped broker and a killed stream until everything is committed or the deadline has come.
"""

import time
from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from contracts import presence
from contracts.topics import GatewayAddress, Lane
from simulators.fleet_group import FleetOptions, GatewayGroup, Pace
from simulators.frame_templates import FrameTemplate
from simulators.lane_sender import LaneSender
from simulators.lane_window import LaneWindow
from simulators.latencies import Latencies
from simulators.links import Broker, Link, drive

SITE_GATEWAYS: Final = 100
STALLS_EVERY_S: Final = 1.0
FAREWELL_S: Final = 10.0
"""How long the fleet tries to say that it leaves."""


Watch = Callable[[int, int], None]


class LaneAccount(msgspec.Struct, frozen=True):
    """What one lane wrote: the ground truth for ``verify``. ``digest`` is hexadecimal, as in presence."""

    tenant: str
    site: str
    gateway: str
    lane: Lane
    ep: str
    seq: int
    readings: int
    digest: str
    acked: int


class FleetReport(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of a run. ``frames_sent`` counts resends; latencies run from the writing of a frame to its ack."""

    complete: bool
    gateways: int
    lanes: int
    frames: int
    frames_sent: int
    frames_resent: int
    frames_acked: int
    readings: int
    readings_acked: int
    seconds: float
    readings_per_s: float
    messages_per_s: float
    ack_p50_ms: float | None
    ack_p99_ms: float | None
    connections: int
    cpu_s: float
    digest: dict[str, str]


def addresses(options: FleetOptions) -> list[GatewayAddress]:
    """Gateways ``load-00000`` … of sites ``load-000`` … with ``SITE_GATEWAYS`` each."""
    return [
        GatewayAddress(options.tenant, f"load-{number // SITE_GATEWAYS:03d}", f"load-{number:05d}")
        for number in range(options.gateways)
    ]


class Fleet:
    """All gateways of a run. ``clock_ms`` added to monotonic milliseconds gives milliseconds since 1970 UTC."""

    def __init__(self, options: FleetOptions, broker: Broker, *, start_s: float, clock_ms: float) -> None:
        self._options = options
        rng = Random(options.seed)
        self._start_s = start_s
        self._end_s: float | None = None
        self._watch: Watch = _ignore
        self._stalls_s = start_s
        self._pace = Pace(options, start_s)
        self._latencies = Latencies()
        templates = [
            FrameTemplate(lane, options.ep, options.devices, options.readings_per_frame, rng) for lane in options.lanes
        ]
        senders = [
            [
                LaneSender(address, template, LaneWindow(options.ep, rng, stall_s=options.stall_s))
                for template in templates
            ]
            for address in addresses(options)
        ]
        links = min(options.connections, options.gateways)
        self._senders = [sender for lanes in senders for sender in lanes]
        self._groups = [
            GatewayGroup(
                [sender for lanes in senders[number::links] for sender in lanes], self._pace, self._latencies, clock_ms
            )
            for number in range(links)
        ]
        self._links = [
            Link(broker, f"fleet-{options.ep}-{number}", group.ack_topics, group, rng)
            for number, group in enumerate(self._groups)
        ]

    def run(self, watch: Watch) -> FleetReport:
        """Send until the plan is done and everything is committed, or the deadline has come. Raises UserError.

        ``watch`` is told every second how many frames were written and how many are committed.
        """
        self._watch = watch
        cpu_s = time.process_time()
        drive(self._links, self._going)
        ended_s = self._end_s if self._end_s is not None else time.monotonic()
        self._farewell()
        return self._report(ended_s - self._start_s, time.process_time() - cpu_s)

    def accounts(self) -> list[LaneAccount]:
        """What each lane wrote."""
        return [
            LaneAccount(
                tenant=sender.address.tenant,
                site=sender.address.site,
                gateway=sender.address.gateway,
                lane=sender.template.lane,
                ep=sender.window.ep,
                seq=sender.window.written,
                readings=sender.readings,
                digest=f"{sender.digest:x}",
                acked=sender.window.watermark,
            )
            for sender in self._senders
        ]

    def _going(self, now_s: float) -> bool:
        if now_s >= self._start_s + self._options.deadline_s:
            return False
        if now_s >= self._stalls_s:
            self._stalls_s = now_s + STALLS_EVERY_S
            for group in self._groups:
                group.check_stalls(now_s)
            self._watch(self._pace.written, sum(sender.window.watermark for sender in self._senders))
        if self._pace.is_over(now_s) and all(group.settled for group in self._groups):
            self._end_s = now_s
            return False
        return True

    def _farewell(self) -> None:
        """Say that the gateways leave, with the final account of their lanes; a few seconds at most."""
        for group in self._groups:
            group.announce(presence.State.OFFLINE)
        until_s = time.monotonic() + FAREWELL_S
        drive(
            self._links,
            lambda now_s: (
                now_s < until_s
                and not all(
                    group.announced and link.idle for group, link in zip(self._groups, self._links, strict=True)
                )
            ),
        )
        for link in self._links:
            link.close()

    def _report(self, seconds: float, cpu_s: float) -> FleetReport:
        senders = self._senders
        acked = sum(sender.window.watermark for sender in senders)
        readings_acked = sum(sender.window.watermark * sender.template.readings for sender in senders)
        sent = sum(sender.sent for sender in senders)
        digest: dict[str, int] = {}
        for sender in senders:
            lane = str(sender.template.lane)
            digest[lane] = (digest.get(lane, 0) + sender.digest) % 2**64
        return FleetReport(
            complete=self._end_s is not None,
            gateways=self._options.gateways,
            lanes=len(senders),
            frames=sum(sender.window.written for sender in senders),
            frames_sent=sent,
            frames_resent=sum(sender.window.resent for sender in senders),
            frames_acked=acked,
            readings=sum(sender.readings for sender in senders),
            readings_acked=readings_acked,
            seconds=round(seconds, 3),
            readings_per_s=round(readings_acked / seconds, 1),
            messages_per_s=round(sent / seconds, 1),
            ack_p50_ms=self._latencies.quantile_ms(0.50),
            ack_p99_ms=self._latencies.quantile_ms(0.99),
            connections=sum(link.connections for link in self._links),
            cpu_s=round(cpu_s, 3),
            digest={lane: f"{total:x}" for lane, total in digest.items()},
        )


def _ignore(_written: int, _committed: int) -> None:
    pass


def clock_offset_ms() -> float:
    """What to add to monotonic milliseconds to get milliseconds since 1970 UTC."""
    return (time.time() - time.monotonic()) * 1000
