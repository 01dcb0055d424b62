"""What the platform says to the gateway besides acks: kept by its consumer first, acknowledged to the broker then.

The contract, for who passes ``on_down`` to the sender:

- ``on_down(kind, payload)`` is called in the sender's thread, in the order of arrival. It returns only once it has
  *stored* the message (fsync and all), and does nothing else: readings wait meanwhile. The PUBACK goes out after it
  returned, so a command is not lost when the agent dies in between: the broker sends it again, Mosquitto with the next
  connection, NATS after its ``ack_wait`` (5 minutes in our stacks).
- It raises ``NotStoredError`` when it could not store the message (the disk is full). Then it is called again with the
  same message, after ``RETRY_S``; what arrived later waits behind it.
- Any other exception is a defect of the consumer: it is logged, and the message counts as stored, since it would come
  back for ever and stop the gateway.
- Delivery is *at least once*. A command comes twice when a PUBACK was lost: the consumer tells it by its ``id``. A
  configuration (retained) comes with every connection: the consumer tells it by its version and hash.
- ``cmd`` waits at the broker while the gateway is away (persistent session, QoS 1, a day at most); ``expires`` in the
  command says whether it is still wanted.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from contracts.topics import Down

RETRY_S: Final = 1.0
WAITING_MAX: Final = 256
"""Messages that wait to be stored. MQTT 5 brokers stop long before (``DOWN_RECEIVE_MAX``); of what is more than that we
acknowledge nothing, so it comes again with the next connection."""

OnDown = Callable[[Down, bytes], None]
log = structlog.get_logger()


class NotStoredError(Exception):
    """The consumer could not keep a message now."""


class Downlink:
    """Messages of one connection that are not acknowledged yet; ``acknowledge(mid)`` sends a PUBACK."""

    def __init__(self, on_down: OnDown, acknowledge: Callable[[int], None]) -> None:
        self._on_down = on_down
        self._acknowledge = acknowledge
        self._waiting: deque[tuple[Down, bytes, int]] = deque()
        self._retry_s = 0.0

    @property
    def retry_s(self) -> float | None:
        """When to call ``store`` again, if anything waits."""
        return self._retry_s if self._waiting else None

    def take(self, kind: Down, payload: bytes, mid: int, now_s: float) -> None:
        """A message arrived; ``mid`` is 0 when nobody waits for its PUBACK."""
        if len(self._waiting) >= WAITING_MAX:
            log.warning("downlink_full", kind=kind.value)
            return
        self._waiting.append((kind, payload, mid))
        if len(self._waiting) == 1:
            self.store(now_s)

    def store(self, now_s: float) -> None:
        """Hand on what waits, until one cannot be stored."""
        while self._waiting:
            kind, payload, mid = self._waiting[0]
            try:
                self._on_down(kind, payload)
            except NotStoredError as error:
                log.warning("downlink_postponed", kind=kind.value, error=str(error))
                self._retry_s = now_s + RETRY_S
                return
            except Exception:  # a defect of the consumer must not stop the readings; see the contract above
                log.exception("downlink_failed", kind=kind.value)
            self._waiting.popleft()
            if mid:
                self._acknowledge(mid)
