"""Requests to addresses that tenants name: only to the public internet, bounded in time and in what is read.

The name is resolved here and the address that was judged is the one that is connected to, so that a name which answers
differently a moment later (DNS rebinding) leads nowhere else. Redirects are not followed.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore

URL_MAX_CHARS: Final = 2_000
ANSWER_MAX_BYTES: Final = 16_384

# Addresses of IPv6 that hide one of IPv4, or a translator in the local network (RFC 6052, 8215, 3056, 4380), and those
# that were local to a site (RFC 3879), which Python takes for global.
_HIDING: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "fec0::/10")
)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Reach:
    """Where requests may go beside the public internet.

    ``loopback`` allows this machine, and plain HTTP to it: for tests and local trials. ``networks`` are private ones
    that are trusted to hold nothing but what tenants may ask, such as that of an ERP; over HTTPS there as well.
    """

    loopback: bool = False
    networks: tuple[Network, ...] = ()


PUBLIC: Final = Reach()


def networks_of(text: object) -> object:
    """Networks as a setting names them, with commas between: ``10.1.0.0/16,fd00:1::/32``."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


class DestinationError(Exception):
    """The destination is none that may be asked, or it does not answer as HTTP does."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a destination answered: its status, and the seconds after which it wants to be asked again, if it says."""

    status: int
    retry_after_s: int | None


def fault_of(url: str, reach: Reach) -> str | None:
    """What is wrong with a URL before anything is resolved, None when it may be tried."""
    if len(url) > URL_MAX_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        return "is no URL"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no URL"
    fault = None
    local = host is not None and (host == "localhost" or host.endswith(".localhost") or _is_loopback(host))
    if not host:
        fault = "names no host"
    elif parts.username is not None or parts.password is not None or parts.fragment:
        fault = "holds more than an address"
    elif local and reach.loopback:
        fault = None if parts.scheme in {"http", "https"} else "is not HTTP"
    elif parts.scheme != "https":
        fault = "must be https"
    elif local or not _may_be_allowed(host, reach):
        fault = "is not on the public internet"
    return fault


def is_allowed(address: str, reach: Reach) -> bool:
    """Whether an IP address may be connected to: public unicast, or what the reach adds to that."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback:
        return reach.loopback
    if any(ip in network for network in reach.networks):
        return True
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _HIDING)


def post(url: str, headers: Mapping[str, str], body: bytes, *, timeout_s: float, reach: Reach) -> Answer:
    """Send a body, and read no more of the answer than it takes to know its status.

    ``timeout_s`` bounds the whole exchange, however slowly its bytes come. Raises DestinationError.
    """
    if (fault := fault_of(url, reach)) is not None:
        msg = f"the URL {fault}"
        raise DestinationError(msg)
    backend = _Guarded(time.monotonic() + timeout_s, reach)
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout_s)
    try:
        with (
            httpcore.ConnectionPool(network_backend=backend, retries=0) as pool,
            pool.stream(
                "POST", url, headers=list(headers.items()), content=body, extensions={"timeout": timeouts}
            ) as answer,
        ):
            told = {name.lower(): value for name, value in answer.headers}
            _drain(answer.iter_stream())
            return Answer(answer.status, _seconds(told.get(b"retry-after", b"")))
    except (httpcore.TimeoutException, TimeoutError) as error:
        msg = f"no answer within {timeout_s:g} s"
        raise DestinationError(msg) from error
    except (
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.UnsupportedProtocol,
        ssl.SSLError,
        OSError,
    ) as error:
        msg = f"{type(error).__name__}: {error}"[:200]
        raise DestinationError(msg) from error


def _drain(parts: Iterable[bytes]) -> None:
    left = ANSWER_MAX_BYTES
    for part in parts:
        left -= len(part)
        if left < 0:
            return


def _seconds(text: bytes) -> int | None:
    return int(text) if text.isdigit() and len(text) < 8 else None  # noqa: PLR2004 - a hundred days are enough


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _may_be_allowed(host: str, reach: Reach) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        # A name of a private network is judged by its address.
        return bool(reach.networks) or ("." in host.strip(".") and not host.endswith((".local", ".internal")))
    return is_allowed(host, reach)


class _Guarded(httpcore.NetworkBackend):
    """Connects to addresses that are allowed, until a deadline of the monotonic clock."""

    def __init__(self, deadline_s: float, reach: Reach) -> None:
        self._deadline_s = deadline_s
        self._reach = reach
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first address of the host, once all of its addresses were judged."""
        addresses = _resolve(host, port, self._deadline_s)
        if not addresses or not all(is_allowed(one, self._reach) for one in addresses):
            msg = f"{host} is not on the public internet"
            raise DestinationError(msg)
        del timeout
        stream = self._sockets.connect_tcp(addresses[0], port, _left_s(self._deadline_s), local_address, socket_options)
        return _Bounded(stream, self._deadline_s)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        """Never: a tenant names no file of ours."""
        del timeout, socket_options
        raise AssertionError(path)

    def sleep(self, seconds: float) -> None:
        """Never: nothing is tried again here."""
        raise AssertionError(seconds)


def _resolve(host: str, port: int, deadline_s: float) -> list[str]:
    """Addresses of a name. Raises DestinationError, httpcore.ConnectTimeout at the deadline."""
    found: Future[list[str]] = Future()

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.set_result(list(dict.fromkeys(str(entry[4][0]) for entry in entries)))
        except (OSError, UnicodeError) as error:
            found.set_exception(error)

    # The resolver takes no deadline, and half a minute where servers are silent: its thread is left to it.
    Thread(target=look_up, name="resolver", daemon=True).start()
    try:
        return found.result(_left_s(deadline_s))
    except TimeoutError as error:
        raise httpcore.ConnectTimeout("the name is not resolved in time") from error
    except (OSError, UnicodeError) as error:
        msg = f"the name {host} cannot be resolved"
        raise DestinationError(msg) from error


class _Bounded(httpcore.NetworkStream):
    """A connection of which each step ends at one deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline_s: float) -> None:
        self._stream = stream
        self._deadline_s = deadline_s

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what there is. Raises httpcore.ReadTimeout."""
        del timeout
        return self._stream.read(max_bytes, _left_s(self._deadline_s))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all. Raises httpcore.WriteTimeout."""
        del timeout
        self._stream.write(buffer, _left_s(self._deadline_s))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same connection with TLS, in which the host proves its name."""
        del timeout
        left_s = _left_s(self._deadline_s)
        return _Bounded(self._stream.start_tls(ssl_context, server_hostname, left_s), self._deadline_s)

    def get_extra_info(self, info: str) -> Any:
        """What the connection knows of itself."""
        return self._stream.get_extra_info(info)


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise httpcore.ReadTimeout("the time is over")
    return left_s
