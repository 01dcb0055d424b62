"""Profiles of one's own in edge.toml: a new kind of device is a table."""

from pathlib import Path

import pytest

from contracts.errors import UserError
from edge_agent.bus.registers import Flag, Function, Kind, Register, WordOrder, Write
from edge_agent.settings import load

HEAD = """
tenant = "demo"
site = "store-01"
gateway = "gw-01"
[[bus]]
name = "b"
kind = "rtu"
device = "/dev/ttyUSB0"
"""
PROFILE = """
[[profile]]
name = "scale"
tare = { function = 1, address = 40 }
[[profile.register]]
metric = "weight_g"
function = 3
address = 10
type = "int32"
word_order = "little"
step = 2
flag_word = 99
period_s = 0.5
[[profile.register]]
metric = "door_open"
function = 3
address = 50
type = "bit"
bit = 3
"""
DEVICE = """
[[device]]
name = "s01"
bus = "b"
unit = 3
profile = "scale"
bays = 2
"""


def read(folder: Path, text: str) -> Path:
    file = folder / "edge.toml"
    file.write_text(text)
    return file


def test_a_profile_of_the_file_is_bound_to_its_devices(tmp_path: Path) -> None:
    (device,) = load(read(tmp_path, HEAD + PROFILE + DEVICE), {}).devices
    holding, little = Function.HOLDING_REGISTERS, WordOrder.LITTLE
    assert device.tare == Write(Function.COILS, 40)
    assert device.registers == (
        Register("s01-b1.weight_g", holding, 10, Kind.INT32, word_order=little, period_s=0.5, flag=Flag(99, 0)),
        Register("s01-b2.weight_g", holding, 12, Kind.INT32, word_order=little, period_s=0.5, flag=Flag(99, 1)),
        Register("", holding, 99, Kind.UINT16, period_s=1.0),
        Register("s01.door_open", holding, 50, Kind.BIT, bit=3),
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (PROFILE + PROFILE + DEVICE, "profile: name 'scale' is there twice"),
        (PROFILE.replace("scale", "cold_room"), "profile: name 'cold_room' is there twice"),
        (DEVICE, "device[1].profile: 'scale' is none of loadcell_shelf, cold_room, portal, sdm_meter, generic"),
        (PROFILE.replace("bit = 3", "bit = 16"), "profile[1].register[2].bit: input should be less than or equal"),
        (PROFILE.replace("function = 1, ", "function = 2, "), "profile[1].tare.function: input should be"),
    ],
)
def test_a_mistake_in_a_profile_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    file = read(tmp_path, HEAD + text)
    with pytest.raises(UserError) as raised:
        load(file, {})
    assert str(raised.value).startswith(f"{file}: {line}")
