"""The fault proxy between real sockets."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from contracts.errors import UserError
from simulators.faults import Direction, FaultProxy, running_proxy
from simulators.link_command import obey, serve
from tests.integration.simulators.acking_platform import wait_for


class EchoServer:
    """Sends back what it receives, and remembers it."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.received = b""
        self.reads = 0

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):
            while data := connection.recv(65_536):
                self.received += data
                self.reads += 1
                connection.sendall(data)


@contextmanager
def proxied() -> Iterator[tuple[EchoServer, FaultProxy, socket.socket]]:
    server = EchoServer()
    threading.Thread(target=server.serve, daemon=True).start()
    with running_proxy("127.0.0.1", server.port) as proxy:
        client = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client:
            yield server, proxy, client
    server.listener.close()


def receive(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = client.recv(count - len(data))
        assert chunk, "the connection ended early"
        data += chunk
    return data


def test_without_faults_bytes_pass_unchanged_both_ways() -> None:
    sent = bytes(range(256)) * 2_000
    with proxied() as (server, _, client):
        threading.Thread(target=client.sendall, args=(sent,)).start()
        assert receive(client, len(sent)) == sent
        assert server.received == sent


def test_latency_delays_each_way() -> None:
    with proxied() as (_, proxy, client):
        proxy.latency_s = 0.15
        started_s = time.monotonic()
        client.sendall(b"ping")
        assert receive(client, 4) == b"ping"
        assert time.monotonic() - started_s >= 0.3


@pytest.mark.parametrize(("direction", "arrives"), [(Direction.UP, False), (Direction.DOWN, True)])
def test_a_one_way_blackhole_holds_bytes_back_until_it_is_lifted(
    direction: Direction,
    arrives: bool,  # noqa: FBT001 - a column of the table
) -> None:
    with proxied() as (server, proxy, client):
        client.sendall(b"a")
        assert receive(client, 1) == b"a"
        proxy.blackholes = frozenset({direction})
        client.sendall(b"lost?")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert (server.received == b"alost?") is arrives
        proxy.blackholes = frozenset()
        client.settimeout(5)
        assert receive(client, 5) == b"lost?"


def test_a_thin_line_carries_so_many_bytes_a_second_each_way() -> None:
    with proxied() as (server, proxy, client):
        proxy.bytes_per_s = 40_000
        sent = bytes(20_000)
        started_s = time.monotonic()
        threading.Thread(target=client.sendall, args=(sent,)).start()
        assert receive(client, len(sent)) == sent
        assert time.monotonic() - started_s >= 0.4
        assert server.received == sent


def test_lines_change_the_faults() -> None:
    with proxied() as (_, proxy, client):
        client.sendall(b"a")
        assert receive(client, 1) == b"a"
        for line in ("latency 0.5", "bandwidth 1000", "slice 3", "blackhole both", "refuse on"):
            assert obey(proxy, line.split()), line
        assert (proxy.latency_s, proxy.bytes_per_s, proxy.slice_bytes, proxy.refusing) == (0.5, 1000, 3, True)
        assert proxy.blackholes == set(Direction)
        for line in ("latency", "latency soon", "latency -1", "blackhole sideways", "refuse", "dance"):
            assert not obey(proxy, line.split()), line
        assert obey(proxy, ["cut"])
        client.settimeout(5)
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_the_command_listens_answers_each_line_and_ends_with_its_input(capsys: pytest.CaptureFixture[str]) -> None:
    serve("127.0.0.1:1", 0, ["latency 0.1", "dance", "quit"])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["event"] for each in told] == ["listening", "ok", "not_understood"]
    assert told[0]["port"] > 0
    with pytest.raises(UserError, match="not HOST:PORT"):
        serve("nowhere", 0, [])


def test_a_port_that_is_taken_is_told() -> None:
    with running_proxy("127.0.0.1", 1) as proxy, pytest.raises(UserError, match="cannot listen"):
        serve("127.0.0.1:1", proxy.port, [])


def test_slices_arrive_in_pieces_and_in_order() -> None:
    with proxied() as (server, proxy, client):
        proxy.slice_bytes = 1
        client.sendall(b"0123456789")
        assert receive(client, 10) == b"0123456789"
        assert server.reads > 1


def test_a_cut_resets_the_connection_and_a_new_one_works() -> None:
    with proxied() as (_, proxy, client):
        client.sendall(b"a")
        assert receive(client, 1) == b"a"
        proxy.cut()
        client.settimeout(5)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as again:
            again.sendall(b"b")
            assert receive(again, 1) == b"b"
        wait_for(lambda: proxy.connections == 2)


def test_while_refusing_connections_end_at_once() -> None:
    with proxied() as (_, proxy, _client):
        proxy.refusing = True
        refused = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
        with refused, suppress(ConnectionResetError):
            assert refused.recv(1) == b""
