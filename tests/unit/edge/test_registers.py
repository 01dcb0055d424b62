"""Profiles are bound to devices."""

import pytest

from contracts.ids import is_channel
from edge_agent.bus.registers import BAYS_MAX, PROFILES, Flag, expand, with_deadbands


def test_a_shelf_has_a_weight_a_bay_and_one_status_word() -> None:
    registers = expand(PROFILES["loadcell_shelf"], "s01", bays=3, period_s=0.5)
    assert [(r.channel, r.address, r.period_s) for r in registers] == [
        ("s01-b1.weight_g", 0, 0.5),
        ("s01-b2.weight_g", 2, 0.5),
        ("s01-b3.weight_g", 4, 0.5),
        ("", 102, 1.0),
        ("s01.temp_c", 100, 5.0),
        ("s01.door_count", 101, 5.0),
    ]
    assert [r.flag for r in registers[:3]] == [Flag(102, 0), Flag(102, 1), Flag(102, 2)]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_profiles_give_valid_channels_once(profile: object) -> None:
    registers = expand(profile, "d1", bays=BAYS_MAX)  # type: ignore[arg-type]
    channels = [r.channel for r in registers if r.channel]
    assert len(channels) == len(set(channels))
    assert all(map(is_channel, channels))


def test_deadbands_are_replaced_by_metric() -> None:
    registers = with_deadbands(expand(PROFILES["cold_room"], "c1", bays=1), {"temp_c": 0.7})
    assert {r.channel: r.deadband for r in registers} == {
        "c1.temp_c": 0.7,
        "c1.humidity_pct": 1.0,
        "c1.door_count": 0.0,
    }
