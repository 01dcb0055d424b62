"""How to greet the broker: by which version of MQTT, under which client id. Pure; times are monotonic seconds."""

from dataclasses import dataclass
from typing import Final

from contracts.ids import client_id
from contracts.topics import GatewayAddress
from edge_agent.uplink.reasons import Reaction

FIVE_AGAIN_S: Final = 3_600.0
"""A broker that had no MQTT 5 is asked again after this: it may have been replaced."""


@dataclass(slots=True)
class Approach:
    """MQTT 5 under ``{tenant}.{gateway}`` first; what was refused is tried otherwise.

    NATS makes subjects of client ids and takes no full stop: there it is ``{tenant}/{gateway}``, and "/" is in no
    identifier either.
    """

    version5: bool = True
    separator: str = "."
    _five_worked: bool = False
    _five_again_s: float = 0.0

    def client_id(self, address: GatewayAddress) -> str:
        """The client id to use now."""
        return client_id(address.tenant, address.gateway).replace(".", self.separator)

    def begin(self, now_s: float) -> None:
        """Before each connection."""
        if not self.version5 and now_s >= self._five_again_s:
            self.version5 = True

    def accepted(self) -> None:
        """The broker let us in."""
        self._five_worked |= self.version5

    def refused(self, reaction: Reaction, now_s: float) -> None:
        """The broker answered that it will not."""
        if reaction is Reaction.OTHER_VERSION:
            self._change_version(now_s)
        elif reaction is Reaction.OTHER_CLIENT_ID:
            self.separator = "/" if self.separator == "." else "."

    def hung_up(self, now_s: float) -> None:
        """The broker closed the connection instead of an answer, as old ones do with what they do not know.

        Once MQTT 5 has worked it is more likely a broker that starts or stops.
        """
        if not self._five_worked:
            self._change_version(now_s)

    def _change_version(self, now_s: float) -> None:
        self.version5 = not self.version5
        self._five_again_s = now_s + FIVE_AGAIN_S
