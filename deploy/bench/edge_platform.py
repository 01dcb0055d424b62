"""The least that a gateway can call a platform: takes frames in order, counts their readings, acknowledges them.

It keeps nothing, so that a bench of the edge measures the edge. ``bench day`` has the real one in its place.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from contracts import acks, topics
from contracts.errors import UserError
from contracts.frames import TelemetryFrame, decode
from contracts.topics import Down, GatewayAddress, Lane
from edge_agent.settings import parse_broker

ACK_EVERY_S: Final = 0.5
CONNECT_S: Final = 10.0


class CountingPlatform:
    """``committed`` readings so far; ``first_s``: when the first frame came, on the monotonic clock, 0 before."""

    def __init__(self, url: str, address: GatewayAddress) -> None:
        self._broker = parse_broker(url, "broker")
        self._address = address
        self._lock = threading.Lock()
        self._watermarks: dict[Lane, tuple[str, int]] = {}
        self._is_dirty = False
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.username_pw_set(self._broker.username, self._broker.password)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._thread = threading.Thread(target=self._acknowledge, name="platform-acks", daemon=True)
        self.committed = 0
        self.frames = 0
        self.out_of_order = 0
        self.first_s = 0.0

    def start(self) -> None:
        """Connect and listen. Raises UserError."""
        self._client.connect(self._broker.host, self._broker.port)
        self._client.loop_start()
        if not self._ready.wait(CONNECT_S):
            msg = "the bench's broker does not answer"
            raise UserError(msg)
        self._thread.start()

    def stop(self) -> None:
        """Hang up."""
        self._ended.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: paho.Client, *_rest: Any) -> None:
        client.subscribe(topics.UP_FILTER, qos=1)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self.first_s = self.first_s or time.monotonic()
        lane = topics.parse_up(message.topic).lane
        frame = decode(lane, bytes(message.payload))
        with self._lock:
            ep, seq = self._watermarks.get(lane, (frame.ep, 0))
            if frame.ep != ep or frame.seq != seq + 1:
                self.out_of_order += 1
                return
            self._watermarks[lane] = (ep, frame.seq)
            self._is_dirty = True
            self.frames += 1
            if isinstance(frame, TelemetryFrame):
                self.committed += len(frame.x)

    def _acknowledge(self) -> None:
        while not self._ended.wait(ACK_EVERY_S):
            with self._lock:
                if not self._is_dirty:
                    continue
                self._is_dirty = False
                payload = acks.encode(self._watermarks)
            self._client.publish(topics.down(self._address, Down.ACK), payload, qos=1, retain=True)


@contextmanager
def counting_platform(url: str, address: GatewayAddress) -> Iterator[CountingPlatform]:
    """A platform until the block ends."""
    platform = CountingPlatform(url, address)
    platform.start()
    try:
        yield platform
    finally:
        platform.stop()
