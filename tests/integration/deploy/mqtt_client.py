"""A client of a broker, for tests of what brokers let clients do."""

import itertools
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from deploy.local.deadline import wait_until

_names = itertools.count()


class Client:
    """A paho client that remembers what it received."""

    def __init__(self, url: str, name: str = "", *, clean: bool = True, password: str | None = None) -> None:
        parts = urlsplit(url)
        self.received: list[tuple[str, bytes]] = []
        self.reason = threading.Event()
        self.refused = False
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=name or f"test-{next(_names)}",
            clean_session=clean,
            reconnect_on_failure=False,
        )
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), password or unquote(parts.password or ""))
        self._gone = threading.Event()
        self._client.on_connect = self._connected
        self._client.on_disconnect = lambda *_: self._gone.set()
        self._client.on_message = lambda _client, _data, message: self.received.append(
            (message.topic, bytes(message.payload))
        )
        self._client.connect("127.0.0.1", parts.port or 0)
        self._client.loop_start()
        assert self.reason.wait(10)

    def _connected(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.refused = bool(reason.is_failure)
        self.reason.set()

    def subscribe(self, topic: str) -> None:
        done = threading.Event()
        self._client.on_subscribe = lambda *_: done.set()
        self._client.subscribe(topic, qos=1)
        assert done.wait(10)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Publish at QoS 1; whether the broker took it, which may also hang up."""
        message = self._client.publish(topic, payload, qos=1, retain=retain)
        wait_until(lambda: message.is_published() or self._gone.is_set(), 10)
        return message.is_published()

    @property
    def is_connected(self) -> bool:
        """Whether the broker keeps it; it does not come back by itself."""
        return not self.refused and not self._gone.is_set()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


Connect = Callable[..., Client]
