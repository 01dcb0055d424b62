"""Locust over MQTT: each user is a gateway that publishes frames and waits for the platform to commit them.

    locust -f simulators/locustfile_mqtt.py --headless -u 50 -r 10 -t 60s

MQTT_URL (or the running stack) says where; the gateways ``load-00000`` … must be registered, once, with
``shelfpulse simulate fleet --register``. Two rows are reported: ``PUBACK`` (the broker has a frame) and ``commit`` (the
platform's ack covers it). For throughput use ``simulate fleet``: a user here is one connection and one greenlet.
"""

import os
import select
import time
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Final

from locust import User, between, events, task

from contracts.topics import Lane
from simulators import settings
from simulators.fleet import addresses, clock_offset_ms
from simulators.fleet_group import FleetOptions, GatewayGroup, Pace
from simulators.frame_templates import FrameTemplate
from simulators.lane_sender import LaneSender
from simulators.lane_window import LaneWindow
from simulators.latencies import Latencies
from simulators.links import WAIT_S, Link, parse_broker

GATEWAYS_MAX: Final = 1_000
READINGS_PER_FRAME: Final = 50
COMMIT_TIMEOUT_S: Final = 30.0

_numbers = count()
_fire: Callable[..., None] = events.request.fire


class GatewayUser(User):
    """A gateway with one lane. A task writes one frame and waits for its commit."""

    wait_time = between(0.2, 0.3)

    def on_start(self) -> None:
        """Connect as the next gateway of the fleet."""
        number = next(_numbers) % GATEWAYS_MAX
        options = FleetOptions(
            tenant=settings.tenant(),
            gateways=number + 1,
            devices=20,
            rate=0.0,
            readings_per_frame=READINGS_PER_FRAME,
            seconds=None,
            readings=None,
            lanes=(Lane.TEL,),
            connections=1,
            seed=number,
            ep=f"l{os.urandom(5).hex()}",
            deadline_s=float("inf"),
        )
        rng = Random(number)
        address = addresses(options)[-1]
        template = FrameTemplate(Lane.TEL, options.ep, options.devices, READINGS_PER_FRAME, rng)
        self._sender = LaneSender(address, template, LaneWindow(options.ep, rng))
        # The pace writes nothing: the task does.
        pace = Pace(options, 0.0)
        pace.stop()
        self._clock_ms = clock_offset_ms()
        self._gateway = GatewayGroup([self._sender], pace, Latencies(), self._clock_ms)
        self._link = Link(
            parse_broker(settings.mqtt_url()), f"locust-{options.ep}", self._gateway.ack_topics, self._gateway, rng
        )

    def on_stop(self) -> None:
        """Leave."""
        self._link.close()

    @task
    def publish_frame(self) -> None:
        """One frame of 50 readings, until it is committed."""
        if not self._turn_until(lambda: self._link.idle, COMMIT_TIMEOUT_S):
            self._report("PUBACK", COMMIT_TIMEOUT_S, 0, TimeoutError("not connected"))
            return
        started_s = time.monotonic()
        self._sender.write(int(self._clock_ms + started_s * 1000))
        self._gateway.look_again()
        size = READINGS_PER_FRAME
        self._turn_until(lambda: not self._sender.window.may_send and self._link.idle, COMMIT_TIMEOUT_S)
        self._report("PUBACK", time.monotonic() - started_s, size, None)
        committed = self._turn_until(lambda: self._gateway.settled, COMMIT_TIMEOUT_S)
        error = None if committed else TimeoutError(f"not committed within {COMMIT_TIMEOUT_S:g} s")
        self._report("commit", time.monotonic() - started_s, size, error)

    def _turn_until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        end_s = time.monotonic() + timeout_s
        wait_s = 0.0
        while not done():
            if time.monotonic() >= end_s:
                return False
            fd = self._link.fileno()
            wanting = [fd] if self._link.wants_write() else []
            # Locust has patched select, so that other users go on meanwhile.
            readable, writable, _ = select.select([fd] if fd >= 0 else [], wanting, [], wait_s)
            wait_s = WAIT_S
            now_s = time.monotonic()
            self._gateway.check_stalls(now_s)
            self._link.turn(now_s, readable=bool(readable), writable=bool(writable))
        return True

    def _report(self, name: str, seconds: float, readings: int, error: Exception | None) -> None:
        _fire(
            request_type="MQTT",
            name=name,
            response_time=seconds * 1000,
            response_length=readings,
            exception=error,
            context={},
        )
