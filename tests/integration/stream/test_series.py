"""Series of new channels: created once, whoever asks first, for a whole fleet at a time."""

import threading

import numpy as np
import psycopg
import pytest

from contracts.frames import Reason
from stream.clean import GATEWAY_CHANNELS_MAX
from stream.control import Control
from stream.facts import ChannelSet, Fault

FLEET = [ChannelSet("acme", f"g{number}", ("b1.weight_g", "c1.temp_c")) for number in range(200)]


@pytest.fixture
def control(database: str) -> Control:
    return Control(database, 5.0, threading.Event())


def test_a_fleet_gets_a_series_for_each_channel(control: Control, database: str) -> None:
    ids = np.concatenate([found for found in control.series(FLEET) if not isinstance(found, Fault)])
    assert len(set(ids.tolist())) == 400
    with psycopg.connect(database) as connection:
        stored = connection.execute("SELECT series_id, tenant_id, gateway_id, channel FROM series").fetchall()
    assert {row[0]: row[1:] for row in stored} == {each: control.name_of(each) for each in ids.tolist()}


def test_two_processes_that_meet_a_channel_name_it_alike(control: Control, database: str) -> None:
    first = control.series(FLEET[:2])
    second = Control(database, 5.0, threading.Event()).series([FLEET[1], FLEET[2], FLEET[0]])
    assert np.array_equal(second[0], first[1])
    assert np.array_equal(second[2], first[0])


def test_a_gateway_with_too_many_channels_does_not_spoil_the_others(control: Control) -> None:
    many = [
        ChannelSet("acme", "g1", tuple(f"d{part}-{number}.weight_g" for number in range(GATEWAY_CHANNELS_MAX // 2)))
        for part in range(3)
    ]
    first, second, third, other = control.series([*many, FLEET[2]])
    assert isinstance(third, Fault)
    assert third.reason is Reason.TOO_MANY_CHANNELS
    assert not any(isinstance(each, Fault) for each in (first, second, other))
