"""paho for many small messages at QoS 1: by the buffer, not by the byte, and without a queue of its own."""

from collections.abc import Callable
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from edge_agent.uplink.buffered_socket import BufferedSocket
from edge_agent.uplink.reasons import Reason

_PACKET_ID_BYTES: Final = 2


class BufferedClient(paho.Client):
    """paho on a buffered socket, and without its queue of what was published: the window is ours.

    Saves two thirds of the time for a frame (three system calls a PUBACK and one a publish, a condition variable a
    message), and leaves paho nothing that it could send by itself. Overrides internals of paho 2 and none of its
    protocol; the integration tests run it against real brokers, so that a change in paho shows.

    ``on_puback(packet id, reason code)`` is called within ``loop_read``, which handles one packet; ``socket()`` tells
    whether more lie in the buffer, and is flushed by whoever published.
    """

    def __init__(
        self, client_id: str, on_puback: Callable[[int, int], None], *, version5: bool, clean: bool = False
    ) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if version5 else clean,
            protocol=MQTTProtocolVersion.MQTTv5 if version5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self._on_puback = on_puback

    def buffer(self) -> BufferedSocket | None:
        """The socket, None without one."""
        sock = self.socket()
        assert sock is None or isinstance(sock, BufferedSocket)
        return sock

    def send_publish(self, topic: bytes, payload: bytes, *, retain: bool) -> int:
        """Write a PUBLISH of QoS 1 to the socket's buffer; its packet id. Raises ConnectionError."""
        mid = self._mid_generate()
        code = self._send_publish(mid, topic, payload, 1, retain)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise ConnectionError(code.name.lower())
        return mid

    def _create_socket(self) -> "paho.SocketLike":  # defined for type checkers only
        return BufferedSocket(super()._create_socket())  # type: ignore[arg-type]  # its own wrapper is for websockets

    def _handle_pubackcomp(self, cmd: str) -> MQTTErrorCode:
        """Packet id, and by MQTT 5 a reason code unless it is 0 (section 3.4.2)."""
        packet = self._in_packet["packet"]
        if cmd != "PUBACK" or len(packet) < _PACKET_ID_BYTES:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        code = packet[_PACKET_ID_BYTES] if len(packet) > _PACKET_ID_BYTES else Reason.SUCCESS
        self._on_puback(packet[0] << 8 | packet[1], code)
        return MQTTErrorCode.MQTT_ERR_SUCCESS
