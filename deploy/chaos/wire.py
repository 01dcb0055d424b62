"""Messages that are heard or said over the broker by somebody who is no gateway."""

import time
from collections.abc import Sequence
from random import Random
from typing import Final

from contracts.errors import UserError
from simulators.links import Link, Message, drive, parse_broker

CLIENT: Final = "shelfpulse-chaos"
PUBLISH_S: Final = 30.0


class _Mouth:
    """Says each message once; what a lost connection took with it is said again."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._said = 0
        self.confirmed = 0

    def connected(self, _now_s: float) -> None:
        self._said = self.confirmed

    def next_message(self, _now_s: float) -> Message | None:
        if self._said == len(self._messages):
            return None
        self._said += 1
        return self._messages[self._said - 1]

    def received(self, topic: str, payload: bytes, now_s: float) -> None:
        """Nothing is subscribed."""

    def published(self) -> None:
        self.confirmed += 1


class _Ear:
    """Keeps the first messages that it hears."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self.heard: list[Message] = []

    def connected(self, now_s: float) -> None:
        """What was published before is no loss."""

    def next_message(self, _now_s: float) -> Message | None:
        return None

    def received(self, topic: str, payload: bytes, _now_s: float) -> None:
        if len(self.heard) < self._at_most:
            self.heard.append(Message(topic, payload))

    def published(self) -> None:
        """Nothing is published."""


def listen(url: str, topic_filter: str, *, seconds: float, at_most: int) -> list[Message]:
    """What is published under a filter for so long, ``at_most`` messages of it. Raises UserError when refused."""
    ear = _Ear(at_most)
    link = Link(parse_broker(url), CLIENT, [topic_filter], ear, Random(CLIENT))  # noqa: S311 - jitter
    end_s = time.monotonic() + seconds
    try:
        drive([link], lambda now_s: now_s < end_s and len(ear.heard) < at_most)
    finally:
        link.close()
    return ear.heard


def publish(url: str, messages: Sequence[Message]) -> None:
    """Publish at QoS 1 in this order, and wait for the broker's answers. Raises UserError when it gives none."""
    mouth = _Mouth(messages)
    link = Link(parse_broker(url), CLIENT, [], mouth, Random(CLIENT), window=20)  # noqa: S311 - jitter
    end_s = time.monotonic() + PUBLISH_S
    try:
        drive([link], lambda now_s: now_s < end_s and mouth.confirmed < len(messages))
    finally:
        link.close()
    if mouth.confirmed < len(messages):
        msg = f"the broker took {mouth.confirmed} of {len(messages)} messages within {PUBLISH_S:.0f} s"
        raise UserError(msg, code=1)
