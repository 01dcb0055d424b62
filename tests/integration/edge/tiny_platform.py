"""The platform as a gateway sees it: commits frames in order, once, and acknowledges. Its memory outlives brokers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from contracts import acks, presence, topics
from contracts.frames import AnyFrame, decode, digest
from contracts.topics import Down, GatewayAddress, Lane
from edge_agent.settings import parse_broker

ACK_EVERY_S = 0.05


class TinyPlatform:
    """``committed`` holds the frames of each (lane, ep) in order. ``refuse`` names sequence numbers that never pass."""

    def __init__(self, url: str, address: GatewayAddress) -> None:
        self._broker = parse_broker(url, "url")
        self._address = address
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._dirty = False
        self.connected = threading.Event()
        self.committed: dict[tuple[Lane, str], list[AnyFrame]] = {}
        self.watermarks: dict[Lane, tuple[str, int]] = {}
        self.presences: list[presence.Presence] = []
        self.duplicates = 0
        self.early = 0
        self.is_deaf = False

    def values(self, lane: Lane = Lane.TEL) -> list[float]:
        """Values of all committed readings, in order of commit."""
        with self._lock:
            return [
                x
                for (of, _), frames in self.committed.items()
                if of is lane
                for f in frames
                for x in getattr(f, "x", [])
            ]

    def digest(self, lane: Lane, ep: str) -> int:
        with self._lock:
            return sum(map(digest, self.committed.get((lane, ep), ()))) % 2**64

    def restore(self, lane: Lane, seq: int) -> None:
        """The database goes back in time."""
        with self._lock:
            ep, _ = self.watermarks[lane]
            kept = [frame for frame in self.committed[lane, ep] if frame.seq <= seq]
            self.committed[lane, ep] = kept
            self.watermarks[lane] = (ep, seq)
            self._dirty = True

    def serve(self) -> None:
        while not self._stopping.is_set():
            lost = threading.Event()
            client = paho.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
            if self._broker.username is not None:
                client.username_pw_set(self._broker.username, self._broker.password)
            client.on_connect = self._on_connect
            client.on_subscribe = lambda *_: self.connected.set()
            client.on_message = self._on_message
            client.on_disconnect = lambda *_, lost=lost: lost.set()
            with suppress(OSError):
                client.connect(self._broker.host, self._broker.port)
                client.loop_start()
                while not lost.wait(ACK_EVERY_S) and not self._stopping.is_set():
                    self._acknowledge(client)
                client.disconnect()
                client.loop_stop()
            self.connected.clear()
            self._stopping.wait(ACK_EVERY_S)

    def stop(self) -> None:
        self._stopping.set()

    def _on_connect(self, client: paho.Client, *_args: Any) -> None:
        client.subscribe([(topics.UP_FILTER, 1), (topics.PRESENCE_FILTER, 1)])
        self._dirty = True

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if self.is_deaf:
            return
        payload = bytes(message.payload)
        with self._lock:
            if not message.topic.startswith("sp/v1/up/"):
                self.presences.append(presence.decode(payload))
                return
            up = topics.parse_up(message.topic)
            if up.address == self._address:
                self._take(up.lane, decode(up.lane, payload))

    def _take(self, lane: Lane, frame: AnyFrame) -> None:
        ep, seq = self.watermarks.get(lane, ("", 0))
        if frame.ep != ep:
            seq = 0
        first = frame.seq if frame.gap is None else frame.gap.from_
        self._dirty = True
        if frame.seq <= seq:
            self.duplicates += 1
        elif first > seq + 1:
            self.early += 1
        else:
            self.committed.setdefault((lane, frame.ep), []).append(frame)
            self.watermarks[lane] = (frame.ep, frame.seq)

    def _acknowledge(self, client: paho.Client) -> None:
        with self._lock:
            if not self._dirty or self.is_deaf or not self.watermarks:
                return
            self._dirty = False
            payload = acks.encode(self.watermarks)
        client.publish(topics.down(self._address, Down.ACK), payload, qos=1, retain=True)


@contextmanager
def tiny_platform(url: str, address: GatewayAddress, kind: type[TinyPlatform] = TinyPlatform) -> Iterator[TinyPlatform]:
    platform = kind(url, address)
    thread = threading.Thread(target=platform.serve, daemon=True)
    thread.start()
    try:
        assert platform.connected.wait(10)
        yield platform
    finally:
        platform.stop()
        thread.join(10)
