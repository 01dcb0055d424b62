"""The platform as far as a gateway can tell: takes frames in order, once, and acknowledges what it keeps.

Its memory is the database: it outlives the broker.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import xxhash
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from contracts import acks
from contracts.frames import AnyFrame, decode
from contracts.topics import PRESENCE_FILTER, RAW_FILTER, UP_FILTER, Down, GatewayAddress, Lane, down, parse_up
from simulators.links import parse_broker

ACK_EVERY_S = 0.1


class AckingPlatform:
    """``frames`` holds what was committed, by lane and incarnation, in order."""

    def __init__(self, url: str) -> None:
        self._broker = parse_broker(url)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._unacked: set[GatewayAddress] = set()
        self.deaf = False
        self.unheard = 0
        self.frames: dict[tuple[GatewayAddress, Lane, str], list[bytes]] = {}
        self.current: dict[tuple[GatewayAddress, Lane], tuple[str, int]] = {}
        self.plain: list[tuple[str, bytes]] = []
        self.closed: set[tuple[GatewayAddress, Lane, str]] = set()
        self.refused = 0
        self.duplicates = 0
        self.early = 0

    def serve(self) -> None:
        """Connect for ever, until stopped."""
        while not self._stop.is_set():
            client = mqtt.Client(CallbackAPIVersion.VERSION2, clean_session=True)
            if self._broker.user:
                client.username_pw_set(self._broker.user, self._broker.password)
            gone = threading.Event()
            client.on_connect = self._on_connect
            client.on_message = self._on_message
            client.on_disconnect = lambda *_args, gone=gone: gone.set()
            with suppress(OSError):
                client.connect(self._broker.host, self._broker.port)
                client.loop_start()
                while not gone.is_set() and not self._stop.is_set():
                    self._acknowledge(client)
                    gone.wait(ACK_EVERY_S)
                client.disconnect()
                client.loop_stop()
            self._stop.wait(ACK_EVERY_S)

    def stop(self) -> None:
        self._stop.set()

    def digest(self, lane: Lane) -> int:
        with self._lock:
            kept = [frame for (_, of, _), frames in self.frames.items() if of is lane for frame in frames]
        return sum(map(xxhash.xxh64_intdigest, kept)) % 2**64

    def count(self) -> int:
        with self._lock:
            return sum(map(len, self.frames.values()))

    def _on_connect(self, client: mqtt.Client, *_args: Any) -> None:
        client.subscribe([(UP_FILTER, 1), (RAW_FILTER, 1), (PRESENCE_FILTER, 1)])
        with self._lock:
            self._unacked = {address for address, _ in self.current}

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if self.deaf:
            self.unheard += message.topic.startswith("sp/v1/up/")
            return
        if not message.topic.startswith("sp/v1/up/"):
            with self._lock:
                self.plain.append((message.topic, bytes(message.payload)))
            return
        _, address, lane = parse_up(message.topic)
        frame = decode(lane, bytes(message.payload))
        with self._lock:
            self._take(address, lane, frame, bytes(message.payload))

    def _take(self, address: GatewayAddress, lane: Lane, frame: AnyFrame, payload: bytes) -> None:
        ep, watermark = self.current.get((address, lane), ("", 0))
        if (address, lane, frame.ep) in self.closed:
            self.refused += 1
            return
        if frame.ep != ep and frame.seq == 1:
            self.closed.add((address, lane, ep))
            watermark = 0
        first = frame.seq if frame.gap is None else frame.gap.from_
        self._unacked.add(address)
        if frame.seq <= watermark:
            self.duplicates += 1
        elif first > watermark + 1:
            self.early += 1
        else:
            self.frames.setdefault((address, lane, frame.ep), []).append(payload)
            self.current[address, lane] = (frame.ep, frame.seq)

    def _acknowledge(self, client: mqtt.Client) -> None:
        with self._lock:
            told = {
                address: {lane: mark for (of, lane), mark in self.current.items() if of == address}
                for address in self._unacked
            }
            self._unacked = set()
        for address, marks in told.items():
            if marks:
                client.publish(down(address, Down.ACK), acks.encode(marks), qos=1, retain=True)


@contextmanager
def acking_platform(url: str) -> Iterator[AckingPlatform]:
    platform = AckingPlatform(url)
    thread = threading.Thread(target=platform.serve, daemon=True)
    thread.start()
    try:
        yield platform
    finally:
        platform.stop()
        thread.join(10)


def wait_for(condition: Any, deadline_s: float = 30.0) -> None:
    """Wait until ``condition()`` holds."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, "the condition did not come true in time"
        time.sleep(0.02)
