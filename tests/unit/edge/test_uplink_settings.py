"""What ``[broker]`` may say: TLS off this machine, a certificate with its private key."""

import re
from pathlib import Path

import pytest

from contracts.errors import UserError
from edge_agent.settings import Broker, load

GATEWAY = 'tenant = "demo"\nsite = "store-01"\ngateway = "gw-01"\n[broker]\n'


def broker_of(folder: Path, table: str, url: str = "") -> Broker:
    file = folder / "edge.toml"
    file.write_text(GATEWAY + table)
    broker = load(file, {"MQTT_URL": url} if url else {}).broker
    assert broker is not None
    return broker


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
def test_without_tls_this_machine_may_be_named(tmp_path: Path, host: str) -> None:
    assert not broker_of(tmp_path, f'url = "mqtt://{host}"').tls


@pytest.mark.parametrize("host", ["broker.example", "10.0.0.7", "[2001:db8::1]", "localhost.example"])
def test_without_tls_another_machine_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(UserError, match="would send in the clear"):
        broker_of(tmp_path, f'url = "mqtt://{host}"')
    assert broker_of(tmp_path, f'url = "mqtts://{host}"').tls


def test_the_environment_is_held_to_the_same_rule(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="would send in the clear") as caught:
        broker_of(tmp_path, "", "mqtt://user:hush@broker.example")
    assert "hush" not in caught.value.message


def test_who_says_so_may_send_in_the_clear(tmp_path: Path) -> None:
    assert not broker_of(tmp_path, "allow_plaintext = true", "mqtt://broker.example").tls


def test_a_certificate_comes_with_its_key(tmp_path: Path) -> None:
    for name in ("ca.pem", "gw.crt", "gw.key"):
        (tmp_path / name).write_text("PEM")
    (tmp_path / "gw.key").chmod(0o600)
    url = 'url = "mqtts://here"\nca_file = "ca.pem"\n'
    broker = broker_of(tmp_path, url + 'cert_file = "gw.crt"\nkey_file = "gw.key"')
    assert (broker.ca_file, broker.cert_file, broker.key_file) == (
        tmp_path / "ca.pem", tmp_path / "gw.crt", tmp_path / "gw.key",
    )  # fmt: skip
    with pytest.raises(UserError, match="cert_file and key_file go together"):
        broker_of(tmp_path, url + 'cert_file = "gw.crt"')


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    for name in ("gw.crt", "gw.key"):
        (tmp_path / name).write_text("PEM")
        (tmp_path / name).chmod(0o644)
    told = re.escape(f"broker.key_file: others can read {tmp_path / 'gw.key'}; chmod 600 it")
    with pytest.raises(UserError, match=told):
        broker_of(tmp_path, 'url = "mqtts://here"\ncert_file = "gw.crt"\nkey_file = "gw.key"')


def test_files_of_tls_are_missed_when_the_agent_starts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"broker\.ca_file: cannot read"):
        broker_of(tmp_path, 'url = "mqtts://here"\nca_file = "nowhere.pem"')


def test_files_of_tls_do_not_go_with_a_plain_connection(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("PEM")
    with pytest.raises(UserError, match=r"broker\.ca_file: goes with mqtts:// only"):
        broker_of(tmp_path, 'url = "mqtt://localhost"\nca_file = "ca.pem"')
