"""How much one client may ask for: token buckets in this process."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http import HTTPStatus
from ipaddress import ip_network
from math import ceil
from types import MappingProxyType
from typing import Final, NamedTuple

from platform_api.kit.errors import ApiError

BODY_MAX_BYTES: Final = 256 * 1024
FILE_MAX_BYTES: Final = 8 * 1024 * 1024
"""Of an uploaded file."""
FILE_PATHS: Final = frozenset({"/v1/imports"})
"""Where files are uploaded to."""
REQUESTS_PER_S: Final = 50.0
REQUESTS_BURST: Final = 200
LOGINS_PER_S: Final = 0.2
LOGINS_BURST: Final = 10
FEDERATED_PER_S: Final = 2.0
"""Log-ins by a provider of identities: nothing can be guessed there, and a company shares one address."""
FEDERATED_BURST: Final = 60
REDEEMS_PER_S: Final = 0.2
REDEEMS_BURST: Final = 10
ALL_REDEEMS_PER_S: Final = 20.0
ALL_REDEEMS_BURST: Final = 200
IPV6_CLIENT_BITS: Final = 64
CLIENTS_MAX: Final = 10_000


class Bucket:
    """A token bucket a key: ``burst`` at once, ``per_s`` in the long run. Remembers the newest CLIENTS_MAX keys."""

    def __init__(self, per_s: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one token. 0.0 when there was one, else the seconds until there is."""
        return self.draw(key).wait_s

    def draw(self, key: str) -> "Draw":
        """Take one token, and say what is left."""
        now = self._clock()
        level, at = self._levels.pop(key, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._per_s)
        granted = level >= 1.0
        self._levels[key] = (level - 1.0 if granted else level, now)
        if len(self._levels) > CLIENTS_MAX:
            self._levels.popitem(last=False)
        if granted:
            return Draw(0.0, int(level - 1.0), (self._burst - level + 1.0) / self._per_s)
        return Draw((1.0 - level) / self._per_s, 0, (self._burst - level) / self._per_s)


class Draw(NamedTuple):
    """Seconds to wait (0.0: granted), tokens left, and seconds until the bucket is full again."""

    wait_s: float
    left: int
    full_s: float


class Limits:
    """The API's limits. A GIL switch between threads can at worst grant one token twice."""

    def __init__(self) -> None:
        self._requests = Bucket(REQUESTS_PER_S, REQUESTS_BURST)
        self._logins = Bucket(LOGINS_PER_S, LOGINS_BURST)
        self._federated = Bucket(FEDERATED_PER_S, FEDERATED_BURST)
        self._redeems = Bucket(REDEEMS_PER_S, REDEEMS_BURST)
        self._all_redeems = Bucket(ALL_REDEEMS_PER_S, ALL_REDEEMS_BURST)

    def take_request(self, user: str) -> dict[str, str]:
        """Count a request of a known user, or of one of their keys, and return the headers that tell them.

        Raises ApiError (429).
        """
        drawn = self._requests.draw(user)
        told = {
            "RateLimit-Policy": f'"user";q={REQUESTS_BURST};w={ceil(REQUESTS_BURST / REQUESTS_PER_S)}',
            "RateLimit": f'"user";r={drawn.left};t={ceil(drawn.full_s)}',
        }
        _refuse(drawn.wait_s, told)
        return told

    def take_login(self, login: str, address: str) -> None:
        """Count an attempt to log in, for its login name and for its address. Raises ApiError (429)."""
        # One after the other: who is stopped by their address must not use up the attempts of a login's owner.
        _refuse(self._logins.take(f"address {_network(address)}"))
        _refuse(self._logins.take(f"login {login.lower()}"))

    def take_federated(self, address: str) -> None:
        """Count a log-in that leaves for a provider of identities. Raises ApiError (429)."""
        _refuse(self._federated.take(_network(address)))

    def take_redeem(self, address: str) -> None:
        """Count an attempt to redeem a claim code, for its address and for all. Raises ApiError (429)."""
        # One after the other: what its own limit stops must not use up that of the others.
        _refuse(self._redeems.take(_network(address)))
        _refuse(self._all_redeems.take("all"))


def _refuse(wait_s: float, told: Mapping[str, str] = MappingProxyType({})) -> None:
    if wait_s > 0:
        headers = {**told, "Retry-After": str(ceil(wait_s))}
        raise ApiError(HTTPStatus.TOO_MANY_REQUESTS, "too many requests; wait", headers=headers)


def _network(address: str) -> str:
    """What stands for a client: its address, of IPv6 the /64 that a single client has all of."""
    try:
        return str(ip_network((address, IPV6_CLIENT_BITS), strict=False)) if ":" in address else address
    except ValueError:
        return address
