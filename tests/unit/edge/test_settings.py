"""edge.toml and slots.csv are read, and every mistake is one line that names file and key."""

import re
from pathlib import Path

import pytest

import edge_agent
from contracts.errors import UserError
from contracts.topics import GatewayAddress
from edge_agent.settings import load, parse_broker
from edge_agent.tables import TcpBus

EXAMPLE = Path(edge_agent.__file__).parent / "examples" / "edge.toml"
MINIMAL = """
tenant = "demo"
site = "store-01"
gateway = "gw-01"
[[bus]]
name = "shelves"
kind = "tcp"
host = "127.0.0.1"
[[device]]
name = "s01"
bus = "shelves"
unit = 1
profile = "loadcell_shelf"
"""
SLOTS = """\
tenant,site,gateway,slot,channel,sku,unit_weight_g,unit_weight_sd_g,capacity,reorder_point,target
demo,store-01,gw-01,s01-b1,s01-b1.weight_g,cola-330,352,3,24,8,24
demo,store-01,gw-02,s01-b1,s01-b1.weight_g,cola-330,352,3,24,8,24
"""


def write(folder: Path, text: str, slots: str | None = None) -> Path:
    file = folder / "edge.toml"
    file.write_text(text if slots is None else f'slots = "slots.csv"\n{text}')
    if slots is not None:
        (folder / "slots.csv").write_text(slots)
    return file


def test_the_example_is_valid_and_complete() -> None:
    settings = load(EXAMPLE, {})
    assert settings.address == GatewayAddress("demo", "store-01", "gw-01")
    assert settings.outbox == EXAMPLE.parent / "outbox.db"
    assert [device.name for device in settings.devices] == ["s01", "cooler-01"]
    assert [slot.name for slot in settings.slots] == ["s01-b1", "s01-b2", "s01-b3", "s01-b4"]
    assert settings.buses["shelves"] == TcpBus(kind="tcp", name="shelves", host="127.0.0.1", port=5020)


def test_the_file_names_the_broker_before_the_environment_does(tmp_path: Path) -> None:
    here = write(tmp_path, MINIMAL + '[broker]\nurl = "mqtts://here:1"\n')
    assert repr(load(here, {"MQTT_URL": "mqtts://there:2"}).broker) == "mqtts://here:1"
    nowhere = write(tmp_path, MINIMAL)
    assert repr(load(nowhere, {"MQTT_URL": "mqtts://there"}).broker) == "mqtts://there:8883"
    assert load(nowhere, {}).broker is None


def test_a_broker_address_is_parsed_and_shows_no_secret() -> None:
    broker = parse_broker("mqtt://demo%2Fgw-01:p%40ss@broker.example:1884", "broker.url")
    assert (broker.host, broker.port, broker.tls) == ("broker.example", 1884, False)
    assert (broker.username, broker.password) == ("demo/gw-01", "p@ss")
    assert "p@ss" not in repr(broker)


def test_a_password_file_must_be_private(tmp_path: Path) -> None:
    secret = tmp_path / "broker.secret"
    secret.write_text("hush\n")
    file = write(tmp_path, MINIMAL + '[broker]\nurl = "mqtts://gw@here"\npassword_file = "broker.secret"\n')
    secret.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        load(file, {})
    secret.chmod(0o600)
    broker = load(file, {}).broker
    assert broker is not None
    assert broker.password == "hush"


def test_slots_of_other_gateways_are_passed_over(tmp_path: Path) -> None:
    (slot,) = load(write(tmp_path, MINIMAL, SLOTS), {}).slots
    assert (slot.name, slot.sku, slot.unit_weight_g, slot.capacity) == ("s01-b1", "cola-330", 352.0, 24)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"gw-01"', '"GW 01"', "gateway: string should match pattern"),
        ("unit = 1", "unit = 300", "device[1].unit: input should be less than or equal to 247"),
        ("unit = 1", 'unit = "one"', "device[1].unit: input should be a valid integer"),
        ('bus = "shelves"', 'bus = "x"', "device[1].bus: no [[bus]] is named 'x'"),
        ('"loadcell_shelf"', '"toaster"', "device[1].profile: 'toaster' is none of loadcell_shelf"),
        ('"loadcell_shelf"', '"generic"', "device[1]: profile 'generic' has no registers"),
        ('host = "127.0.0.1"', "", "bus[1].host: field required"),
        ('kind = "tcp"', 'kind = "tin-can"', "bus[1]: input tag 'tin-can'"),
        ("[[bus]]", "colour = 1\n[[bus]]", "colour: extra inputs are not permitted"),
        ("[[bus]]", "[bus", "not TOML: "),
    ],
)
def test_a_mistake_is_one_line_with_file_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = write(tmp_path, MINIMAL.replace(old, new, 1))
    with pytest.raises(UserError, match=re.escape(f"{file}: {message}")) as caught:
        load(file, {})
    assert "\n" not in caught.value.message


def test_a_register_must_end_within_the_device(tmp_path: Path) -> None:
    row = '[[device.register]]\nmetric = "x"\naddress = 65535\ntype = "int32"\n'
    with pytest.raises(UserError, match=r"device\[1\]: s01\.x ends after register 65535"):
        load(write(tmp_path, MINIMAL + row), {})


def test_coils_are_bits(tmp_path: Path) -> None:
    row = '[[device.register]]\nmetric = "x"\naddress = 1\nfunction = 2\n'
    with pytest.raises(UserError, match="functions 1 and 2 go with type bit only"):
        load(write(tmp_path, MINIMAL + row), {})
    assert load(write(tmp_path, MINIMAL + row + 'type = "bit"\n'), {}).devices[0].registers[-1].channel == "s01.x"


def test_two_units_with_one_number_on_a_bus_are_refused(tmp_path: Path) -> None:
    twin = '[[device]]\nname = "s02"\nbus = "shelves"\nunit = 1\nprofile = "portal"\n'
    with pytest.raises(UserError, match="unit on its bus 'shelves/1' is there twice"):
        load(write(tmp_path, MINIMAL + twin), {})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",352,3,24", ",heavy,3,24", "line 2: unit_weight_g: input should be a valid number"),
        (",352,3,24", ",-1,3,24", "line 2: unit_weight_g: input should be greater than 0"),
        (",352,3,24", ",nan,3,24", "line 2: unit_weight_g: input should be a finite number"),
        (",352,3,24", ",352,3,", "line 2: capacity: field required"),
        ("s01-b1.weight_g", "s09-b1.weight_g", "line 2: no device of this gateway has channel 's09-b1.weight_g'"),
        ("sku,", "article,", "line 1: column sku is missing"),
        ("gw-02", "gw-01", "line 3: slot 's01-b1' or its channel"),
    ],
)
def test_a_mistake_in_the_slots_names_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = write(tmp_path, MINIMAL, SLOTS.replace(old, new, 1))
    with pytest.raises(UserError, match=re.escape(f"{tmp_path / 'slots.csv'}, {message}")):
        load(file, {})


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*edge\.toml: No such file"):
        load(tmp_path / "edge.toml", {})
