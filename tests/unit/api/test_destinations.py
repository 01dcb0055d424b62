import socket
import threading
from typing import Any

import pytest
from pydantic import ValidationError

from platform_api.kit.destinations import PUBLIC, DestinationError, Reach, fault_of, is_allowed, post
from platform_api.settings import Settings

LOCAL = Reach(loopback=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://erp.example.com/hook",
        "https://erp.example.com:8443/hook?key=1",
        "https://93.184.215.14/",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
    ],
)
def test_public_https_may_be_asked(url: str) -> None:
    assert fault_of(url, PUBLIC) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://erp.example.com/hook",
        "ftp://erp.example.com/hook",
        "https://user:secret@erp.example.com/",
        "https://erp.example.com/#part",
        "https:///nothing",
        "https://erp.example.com:99999/",
        "https://[::1",
        "https://erp.example.com/ x",
        "https://erp.example.com/\n",
        "https://localhost/",
        "https://a.localhost/",
        "https://intranet/",
        "https://db.internal/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fd00::1]/",
        "https://[fec0::1]/",
        "https://" + "a" * 2_000 + ".example.com/",
    ],
)
def test_what_is_private_or_no_https_may_not(url: str) -> None:
    assert fault_of(url, PUBLIC) is not None


def test_this_machine_may_be_asked_only_where_a_setting_says_so_and_no_other_private_one() -> None:
    assert fault_of("http://127.0.0.1:8080/", LOCAL) is None
    assert fault_of("http://localhost:8080/", LOCAL) is None
    assert fault_of("http://10.0.0.1/", LOCAL) is not None
    assert fault_of("https://10.0.0.1/", LOCAL) is not None
    assert is_allowed("127.0.0.1", LOCAL)
    assert not is_allowed("192.168.1.1", LOCAL)


def test_a_private_network_that_is_configured_may_be_asked_over_https_and_no_other() -> None:
    reach = Settings.model_validate(
        {"dsn": "x", "secret": "x" * 32, "webhook_networks": "10.1.0.0/16, fd00:1::/32"}
    ).webhook_reach
    assert fault_of("https://10.1.0.1/", reach) is None
    assert fault_of("https://erp.internal/", reach) is None
    assert fault_of("http://10.1.0.1/", reach) is not None
    assert fault_of("https://10.2.0.1/", reach) is not None
    assert fault_of("https://localhost/", reach) is not None
    allowed = ["10.1.255.1", "::ffff:10.1.0.1", "fd00:1::7", "8.8.8.8"]
    refused = ["10.2.0.1", "fd00:2::7", "127.0.0.1", "169.254.169.254"]
    assert [address for address in (*allowed, *refused) if is_allowed(address, reach)] == allowed


@pytest.mark.parametrize("text", ["10.1.0.1/16", "intranet", "10.0.0.0/8;fd00::/8"])
def test_what_is_no_network_is_refused_as_a_setting(text: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"dsn": "x", "secret": "x" * 32, "webhook_networks": text})


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.1.2.3", "10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254",
        "224.0.0.1", "255.255.255.255", "198.18.0.1", "::", "::1", "fe80::1%eth0", "fc00::1", "ff02::1",
        "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:db8::1",
        "2001:0:1::1", "nonsense",
    ],
)  # fmt: skip
def test_no_address_of_a_private_network_is_connected_to(address: str) -> None:
    assert not is_allowed(address, PUBLIC)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_connected_to(address: str) -> None:
    assert is_allowed(address, PUBLIC)


@pytest.mark.parametrize("addresses", [["10.0.0.7"], ["8.8.8.8", "127.0.0.1"], []])
def test_a_public_name_with_a_private_address_is_not_connected_to(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        assert host == "rebound.example.com"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(DestinationError, match="not on the public internet"):
        post("https://rebound.example.com/", {}, b"{}", timeout_s=5, reach=PUBLIC)


def test_a_name_whose_servers_are_silent_is_given_up_with_the_time_of_the_exchange(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silence = threading.Event()

    def resolve(*_: Any, **__: Any) -> list[Any]:
        silence.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(DestinationError, match=r"no answer within 0\.2 s"):
        post("https://erp.example.com/", {}, b"{}", timeout_s=0.2, reach=PUBLIC)
    silence.set()


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1"])
def test_other_ways_to_write_this_machine_lead_nowhere(host: str) -> None:
    with pytest.raises(DestinationError, match=r"public internet|resolved"):
        post(f"https://{host}/", {}, b"{}", timeout_s=5, reach=PUBLIC)
