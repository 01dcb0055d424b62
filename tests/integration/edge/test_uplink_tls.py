"""TLS and certificates of gateways against a real Mosquitto: what is not right is closed, with one clear line."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from contracts.topics import Lane
from deploy.local.account import hand_over, service_account
from deploy.local.broker import find_mosquitto
from deploy.local.deadline import wait_until
from deploy.local.ports import free_port, is_open
from deploy.local.process import Child, ProcessSpec
from edge_agent.outbox.store import MemoryStore
from edge_agent.settings import Broker
from edge_agent.uplink.counts import Alarm
from tests.integration.edge.frame_makers import telemetry
from tests.integration.edge.uplink_world import sending
from tests.integration.edge.waiting import wait_for
from tests.services.certificates import Authority, Pair

HOST = "127.0.0.1"
USER = "demo/gw-01"
EP = "abcd1234"

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed here")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the broker's own user can read: pytest's folders are closed to it."""
    made = Path(tempfile.mkdtemp(prefix="shelfpulse-tls-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@contextmanager
def mosquitto(folder: Path, server: Pair, *lines: str, tls: str = "tlsv1.2") -> Iterator[int]:
    """A broker with TLS on a free port; it lets every user in who gets that far, who may do what ``access`` says."""
    port = free_port()
    account = service_account()
    access = folder / "access"
    access.write_text(f"user {USER}\ntopic readwrite sp/v1/#\n")
    config = [
        f"listener {port} {HOST}",
        f"certfile {server.cert}",
        f"keyfile {server.key}",
        f"tls_version {tls}",
        f"acl_file {access}",
        *lines,
    ]
    (folder / "mosquitto.conf").write_text("\n".join(config) + "\n")
    for file in folder.iterdir():
        hand_over(file, account)
    program = find_mosquitto()
    assert program is not None
    spec = ProcessSpec(
        name="broker",
        argv=(str(program), "-c", str(folder / "mosquitto.conf")),
        log=folder / "broker.log",
        account=account,
        is_ready=lambda: is_open(port),
    )
    child = Child(spec)
    try:
        assert wait_until(lambda: child.poll() is not None or is_open(port), 10)
        assert child.poll() is None, spec.log.read_text()
        yield port
    finally:
        child.kill()


@pytest.fixture
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    # A broker that hangs up at once may reset the connection before its TLS alert is read: then the next try tells.
    for delay in ("slow_delay_s", "reconnect_delay_s"):
        monkeypatch.setattr(f"edge_agent.uplink.sender.{delay}", lambda _attempt, _jitter: 0.3)


def store() -> MemoryStore:
    filled = MemoryStore(EP)
    filled.put(Lane.TEL, telemetry(1.0, ep=EP, seq=1))
    return filled


def address(port: int, ca: Path | None, client: Pair | None = None, host: str = HOST) -> Broker:
    broker = Broker(host, port, tls=True, ca_file=ca, username=None if client else USER)
    return broker if client is None else replace(broker, cert_file=client.cert, key_file=client.key)


def assert_gets_in(broker: Broker) -> None:
    with sending(store(), broker) as sender:
        wait_for(lambda: sender.counts.pubacks + sender.counts.holds > 0)
        assert sender.alarms == {}


def assert_stays_out(broker: Broker, alarm: Alarm, told: str) -> None:
    """Nothing is sent; one alarm however often it is tried."""
    with capture_logs() as logs, sending(store(), broker) as sender:
        wait_for(lambda: sender.counts.failures >= 3 and alarm in sender.alarms)
        assert told in sender.alarms[alarm].lower()
        assert sender.counts.published == 0
    assert [entry["alarm"] for entry in logs if entry["event"] == "uplink_alarm"] == [alarm.value]


def test_frames_go_to_a_broker_that_an_authority_of_ours_vouches_for(folder: Path, authority: Authority) -> None:
    with mosquitto(folder, authority.issue(HOST), "allow_anonymous true") as port:
        assert_gets_in(address(port, authority.ca))


@pytest.mark.parametrize(
    ("server_of", "told"),
    [
        (lambda _ours, folder: Authority(folder, "other").issue(HOST), "unable to get local issuer certificate"),
        (lambda ours, _folder: ours.issue(HOST, expired=True), "certificate has expired"),
        (lambda ours, _folder: ours.issue("broker.example"), "ip address mismatch"),
        (lambda ours, _folder: ours.issue("127.0.0.2"), "ip address mismatch"),
    ],
    ids=["unknown authority", "expired", "another name", "another address"],
)
def test_a_broker_that_is_not_to_be_trusted_gets_nothing(
    folder: Path, authority: Authority, server_of: Callable[[Authority, Path], Pair], told: str
) -> None:
    with mosquitto(folder, server_of(authority, folder), "allow_anonymous true") as port:
        assert_stays_out(address(port, authority.ca), Alarm.UNTRUSTED, told)


def test_an_authority_of_ours_is_the_only_one_that_is_believed(folder: Path, authority: Authority) -> None:
    """Without ``ca_file`` it is the system's authorities, which do not know ours."""
    with mosquitto(folder, authority.issue(HOST), "allow_anonymous true") as port:
        assert_stays_out(address(port, None), Alarm.UNTRUSTED, "not to be trusted")


def test_a_plain_listener_is_not_spoken_to_in_the_clear(folder: Path, authority: Authority) -> None:
    port = free_port()
    with (
        mosquitto(folder, authority.issue(HOST), f"listener {port} {HOST}", "allow_anonymous true"),
        sending(store(), address(port, authority.ca)) as sender,
    ):
        wait_for(lambda: sender.counts.failures >= 2)
        assert sender.counts.published == 0


def certified(authority: Authority, *more: str) -> tuple[str, ...]:
    """A listener that takes its users from their certificates."""
    return ("require_certificate true", "use_identity_as_username true", f"cafile {authority.ca}", *more)


def test_the_certificate_names_the_gateway_without_a_password(folder: Path, authority: Authority) -> None:
    with mosquitto(folder, authority.issue(HOST), *certified(authority)) as port:
        assert_gets_in(address(port, authority.ca, authority.issue(USER)))


def test_a_gateway_with_the_certificate_of_another_may_not_speak(folder: Path, authority: Authority) -> None:
    other = authority.issue("demo/gw-02")
    with (
        mosquitto(folder, authority.issue(HOST), *certified(authority)) as port,
        sending(store(), address(port, authority.ca, other)) as sender,
    ):
        wait_for(lambda: Alarm.DENIED in sender.alarms)
        assert sender.counts.pubacks == 0


@pytest.mark.parametrize("tls", ["tlsv1.2", "tlsv1.3"])
@pytest.mark.parametrize("case", ["none", "unknown authority", "expired", "revoked"])
def test_a_gateway_whose_certificate_is_not_good_stays_out(
    folder: Path, authority: Authority, case: str, tls: str
) -> None:
    clients = {
        "none": None,
        "unknown authority": Authority(folder, "other").issue(USER),
        "expired": authority.issue(USER, expired=True),
        "revoked": authority.issue(USER, revoked=True),
    }
    revoked = f"crlfile {authority.crl()}"
    with mosquitto(folder, authority.issue(HOST), *certified(authority, revoked), tls=tls) as port:
        assert_stays_out(address(port, authority.ca, clients[case]), Alarm.UNTRUSTED, "tls: ")
        assert_gets_in(address(port, authority.ca, authority.issue(USER)))


def test_a_certificate_that_was_renewed_serves_the_next_connection(folder: Path, authority: Authority) -> None:
    client = authority.issue(USER, expired=True)
    with (
        mosquitto(folder, authority.issue(HOST), *certified(authority)) as port,
        sending(store(), address(port, authority.ca, client)) as sender,
    ):
        wait_for(lambda: Alarm.UNTRUSTED in sender.alarms)
        renewed = authority.issue(USER)
        client.key.write_bytes(renewed.key.read_bytes())
        client.cert.write_bytes(renewed.cert.read_bytes())
        wait_for(lambda: sender.is_connected)
        assert sender.alarms == {}


def test_a_key_that_is_none_is_an_alarm(folder: Path, authority: Authority) -> None:
    client = authority.issue(USER)
    client.key.write_text("-----BEGIN PRIVATE KEY-----\nnone\n-----END PRIVATE KEY-----\n")
    with mosquitto(folder, authority.issue(HOST), *certified(authority)) as port:
        assert_stays_out(address(port, authority.ca, client), Alarm.UNTRUSTED, "tls: ")
