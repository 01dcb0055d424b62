"""Small decisions of the local stack."""

import json
from pathlib import Path

import pytest

from contracts.errors import UserError
from deploy.demo import market
from deploy.local.configuration import without_secret
from deploy.local.ports import assign, is_free
from deploy.local.supervisor import HEALTHY_S, RESTART_PAUSES_S, kind_of, pause_s
from deploy.local.up import parse_duration
from platform_api.kit.gtin import has_check_digit


def test_pauses_grow_while_a_process_keeps_dying() -> None:
    failures, pauses = 0, []
    for _ in range(8):
        failures, pause = pause_s(failures, 1.0)
        pauses.append(pause)
    assert pauses[: len(RESTART_PAUSES_S)] == list(RESTART_PAUSES_S)
    assert set(pauses[len(RESTART_PAUSES_S) :]) == {RESTART_PAUSES_S[-1]}


def test_a_process_that_ran_well_starts_over_with_the_first_pause() -> None:
    assert pause_s(5, HEALTHY_S) == (1, RESTART_PAUSES_S[0])


def test_gateways_are_one_kind_of_process() -> None:
    assert {kind_of(name) for name in ("edge-gw-a", "edge-gw-b")} == {"edge"}


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60.0), ("90", 90.0), ("1.5m", 90.0), ("2h", 7_200.0)])
def test_durations_have_a_unit_or_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "0", "-5s", "soon", "nan", "infs", "1d"])
def test_a_duration_that_is_none_is_the_users_mistake(text: str) -> None:
    with pytest.raises(UserError, match="no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("SHELFPULSE_SECRET", "abc", "***"),
        ("SHELFPULSE_DSN", "postgresql://me:p%40ss@db:5432/x", "postgresql://me:***@db:5432/x"),
        ("SHELFPULSE_DSN", "postgresql://db/x?user=me&password=p", "postgresql://db/x?***"),
        ("SHELFPULSE_DSN", "host=db password=p", "***"),
        ("MQTT_URL", "mqtt://broker:1883", "mqtt://broker:1883"),
        ("MQTT_URL", "mqtt://user@broker", "mqtt://user@broker"),
        ("SHELFPULSE_STATE", "/var/lib/x", "/var/lib/x"),
    ],
)
def test_no_secret_is_shown(name: str, value: str, shown: str) -> None:
    assert without_secret(name, value) == shown


def test_ports_are_the_same_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = assign(["a", "b"], file)
    assert len(set(first.values())) == 2
    assert assign(["b", "a"], file) == first
    assert assign(["c"], file)["c"] not in first.values()
    assert json.loads(file.read_text()).keys() == {"a", "b", "c"}


def test_a_port_that_somebody_took_is_replaced(tmp_path: Path) -> None:
    import socket  # noqa: PLC0415 - of this test alone

    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = squatter.getsockname()[1]
        assert not is_free(taken)
        file = tmp_path / "ports.json"
        file.write_text(json.dumps({"a": taken}))
        assert assign(["a"], file)["a"] != taken


def test_the_demo_is_as_large_as_promised() -> None:
    bays = list(market.bays())
    assert len({(bay.store.gateway, bay.device) for bay in bays}) == 40
    assert len({bay.store.gateway for bay in bays}) == 6
    assert len({bay.article.sku for bay in bays}) == 24
    assert sum(org.kind == "dealer" for org in market.ORGS) == 2


def test_every_bay_of_the_demo_has_room_and_starts_above_its_reorder_point() -> None:
    for bay in market.bays():
        assert bay.reorder_point < bay.units <= bay.article.capacity
        assert bay.units * bay.article.unit_weight_g <= market.BAY_G * 1.1


def test_the_articles_have_valid_numbers() -> None:
    numbers = [market.gtin_of(position) for position in range(len(market.ARTICLES))]
    assert len(set(numbers)) == len(numbers)
    assert all(has_check_digit(number) for number in numbers)
