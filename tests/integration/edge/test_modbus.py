"""Reading and writing real Modbus, and what an installer is shown."""

import threading

import pytest

from contracts.frames import Quality
from deploy.local.ports import free_port
from edge_agent.bus import survey
from edge_agent.bus.modbus import ModbusBus, NoAnswerError, RefusedError
from edge_agent.bus.plan import Request
from edge_agent.bus.poller import Poller
from edge_agent.bus.reader import DeviceReader
from edge_agent.bus.registers import PROFILES, Decoded, Function, Kind, Register, expand
from edge_agent.settings import Device
from edge_agent.tables import TcpBus
from tests.integration.edge.shelf_server import Shelf, shelf_server
from tests.integration.edge.waiting import wait_for

INPUT = Function.INPUT_REGISTERS


def bus_at(port: int) -> TcpBus:
    return TcpBus(kind="tcp", name="shelves", host="127.0.0.1", port=port, timeout_s=0.5)


def shelf_device(name: str, unit: int, extra: tuple[Register, ...] = ()) -> Device:
    registers = expand(PROFILES["loadcell_shelf"], name, bays=4, period_s=0.02)
    return Device(name, "shelves", unit, "loadcell_shelf", 4, (*registers, *extra))


def by_channel(decoded: list[Decoded]) -> dict[str, tuple[float, Quality]]:
    return {each.channel: (each.value, each.quality) for each in decoded}


def test_a_shelf_is_read_with_the_quality_of_each_bay() -> None:
    shelf = Shelf(1, [5_628.6, -12.5, 0.0, 90_000.0], temp_c=-3.5, door_count=7, status=0b1000)
    with shelf_server(shelf) as port:
        values = by_channel(DeviceReader(shelf_device("s01", 1), ModbusBus(bus_at(port))).poll())
    assert values == {
        "s01-b1.weight_g": (5_628.6, Quality.GOOD),
        "s01-b2.weight_g": (-12.5, Quality.GOOD),
        "s01-b3.weight_g": (0.0, Quality.GOOD),
        "s01-b4.weight_g": (90_000.0, Quality.BAD),
        "s01.temp_c": (-3.5, Quality.GOOD),
        "s01.door_count": (7.0, Quality.GOOD),
    }


def test_a_hole_that_the_device_refuses_is_bridged_once_and_never_again() -> None:
    shelf = Shelf(1)
    with shelf_server(shelf) as port:
        reader = DeviceReader(shelf_device("s01", 1), ModbusBus(bus_at(port)))
        assert len(reader.poll()) == 6
        assert reader.counts.refusals == 1
        shelf.requests.clear()
        reader.poll()
    assert reader.counts.refusals == 1
    assert shelf.requests == [(0, 8), (100, 3)]


def test_a_register_that_is_not_there_costs_only_itself() -> None:
    absent = Register("s01.battery_v", INPUT, 103, Kind.UINT16)
    shelf = Shelf(1)
    with shelf_server(shelf) as port:
        reader = DeviceReader(shelf_device("s01", 1, (absent,)), ModbusBus(bus_at(port)))
        assert len(reader.poll()) == 6
        refusals = reader.counts.refusals
        assert len(reader.poll()) == 6
        assert reader.counts.refusals == refusals
        (checked,) = survey.check([shelf_device("s01", 1, (absent,))], {"shelves": bus_at(port)})
    assert checked.absent == ["s01.battery_v"]
    assert checked.as_json()["ok"] is False


def test_errors_of_the_library_and_the_device_are_told_apart() -> None:
    shelf = Shelf(1)
    with shelf_server(shelf) as port:
        bus = ModbusBus(bus_at(port))
        with pytest.raises(RefusedError) as refused:
            bus.read(1, Request(INPUT, 50, 1))
        assert refused.value.code == 2
        shelf.is_silent = True
        with pytest.raises(NoAnswerError, match="unit 1 does not answer"):
            bus.read(1, Request(INPUT, 0, 2))
        bus.close()
    with pytest.raises(NoAnswerError, match="cannot connect"):
        ModbusBus(bus_at(free_port())).read(1, Request(INPUT, 0, 2))


def test_a_bay_is_tared_by_a_write() -> None:
    shelf = Shelf(1)
    with shelf_server(shelf) as port:
        bus = ModbusBus(bus_at(port))
        bus.write_register(1, 202, 1)
        bus.close()
    assert shelf.tared == [2]


def test_threads_that_share_a_bus_get_their_own_answers() -> None:
    shelves = [Shelf(unit, [unit * 100.0] * 4) for unit in (1, 2, 3)]
    wrong: list[float] = []
    with shelf_server(*shelves) as port:
        bus = ModbusBus(bus_at(port))

        def read(unit: int) -> None:
            reader = DeviceReader(shelf_device(f"s{unit}", unit), bus)
            for _ in range(30):
                value = by_channel(reader.poll())[f"s{unit}-b1.weight_g"][0]
                if value != unit * 100.0:
                    wrong.append(value)

        threads = [threading.Thread(target=read, args=(unit,)) for unit in (1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        bus.close()
    assert wrong == []


def test_a_dead_device_does_not_stop_the_others_and_comes_back() -> None:
    dead, alive = Shelf(1, is_silent=True), Shelf(2)
    seen: dict[str, int] = {}

    def sink(_mono_ms: int, decoded: list[Decoded]) -> None:
        for each in decoded:
            seen[each.channel] = seen.get(each.channel, 0) + 1

    with shelf_server(dead, alive) as port:
        poller = Poller("shelves", ModbusBus(bus_at(port)), [shelf_device("s01", 1), shelf_device("s02", 2)], sink)
        poller.start()
        wait_for(lambda: seen.get("s02-b1.weight_g", 0) >= 20)
        assert "s01-b1.weight_g" not in seen
        assert poller.silent == ["s01"]
        dead.is_silent = False
        wait_for(lambda: "s01-b1.weight_g" in seen)
        poller.stop()
    assert poller.silent == []
    assert poller.error is None


def test_a_scan_finds_who_answers_even_with_an_exception() -> None:
    everyone_else = Shelf(0, is_silent=True)  # unit 0 stands for all that are not there
    with shelf_server(Shelf(2), Shelf(5), everyone_else) as port:
        found = [each for _, each in survey.scan(bus_at(port), range(1, 8)) if each is not None]
    assert [each.unit for each in found] == [2, 5]
    assert found[0].answers[INPUT] == "register 0 is 0"
    assert found[0].answers[Function.HOLDING_REGISTERS] == "exception 2"
