"""A real Modbus client reads and tares the simulated shelves."""

import asyncio
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient, ModbusTcpClient
from pymodbus.constants import ExcCodes

from contracts.errors import UserError
from simulators.modbus_server import ShelfServer, listen
from simulators.plan import BayPlan, GatewayPlan, Plan, ShelfPlan, Sku, StorePlan, encode
from simulators.store import Store
from simulators.story import Dead, Slow, Spike, Stuck

UNIT_G = 330.0


def plan(*story: Any, noise_sd_g: float = 0.0) -> Plan:
    shelves = tuple(
        ShelfPlan(
            device=f"s0{unit}",
            unit=unit,
            bays=(BayPlan(1, "cola", 10, 24), BayPlan(16, "cola", 3, 24)),
            noise_sd_g=noise_sd_g,
            drift_g_per_hour=0.0,
            temperature_celsius=-18.0,
            overload_g=3_000.0,
        )
        for unit in (1, 2)
    )
    store = StorePlan("shop", (GatewayPlan("gw1", 0, shelves),), shoppers_per_hour=0.0)
    return Plan("acme", (Sku("cola", UNIT_G, 0.0),), (store,), story=story)


class Bench:
    """A gateway that listens, a client, and a clock that the test turns."""

    def __init__(self, store: Store, server: ShelfServer, client: AsyncModbusTcpClient, clock: list[float]) -> None:
        self.store = store
        self.server = server
        self.client = client
        self.clock = clock

    async def grams(self, bay: int, unit: int = 1) -> float:
        answer = await self.client.read_input_registers(2 * bay, count=2, device_id=unit)
        assert not answer.isError()
        value = answer.registers[0] << 16 | answer.registers[1]
        return (value - (1 << 32) if value & 1 << 31 else value) / 10


@asynccontextmanager
async def bench(given: Plan) -> AsyncIterator[Bench]:
    clock = [1_000_000.0]
    store = Store(given, given.stores[0], clock[0])
    server = await listen("127.0.0.1", given.stores[0].gateways[0], store, lambda: clock[0])
    client = AsyncModbusTcpClient("127.0.0.1", port=server.port, timeout=0.5, retries=0)
    assert await client.connect()
    clock[0] += 60
    try:
        yield Bench(store, server, client, clock)
    finally:
        client.close()
        await server.shutdown()  # type: ignore[no-untyped-call]


def test_the_registers_are_those_of_the_profile() -> None:
    async def read() -> None:
        async with bench(plan()) as shelf:
            weights = (await shelf.client.read_input_registers(0, count=32, device_id=1)).registers
            assert weights == [0, 33_000, *[0] * 28, 0, 9_900]
            temperature, doors, status, high, low = (
                await shelf.client.read_input_registers(100, count=5, device_id=1)
            ).registers
            assert (temperature - 65_536) / 10 == pytest.approx(-18, abs=0.6)
            assert doors == 0
            assert status == 1 << 0
            assert high << 16 | low == 60
            assert await shelf.grams(15) == 990.0

    asyncio.run(read())


def test_a_tare_makes_the_load_read_zero_and_reads_back_zero() -> None:
    async def tare() -> None:
        async with bench(plan()) as shelf:
            assert not (await shelf.client.write_register(200, 1, device_id=1)).isError()
            assert await shelf.grams(0) == 0.0
            assert await shelf.grams(15) == 990.0
            assert await shelf.grams(0, unit=2) == 3300.0
            assert (await shelf.client.read_holding_registers(200, count=16, device_id=1)).registers == [0] * 16
            assert not (await shelf.client.write_registers(214, [0, 1], device_id=1)).isError()
            assert await shelf.grams(15) == 0.0
            tared = [line for line in shelf.store.drain() if getattr(line, "kind", "") == "tare"]
            assert [(line.slot, line.units) for line in tared] == [("s01-b1", 0), ("s01-b16", 0)]  # type: ignore[union-attr]

    asyncio.run(tare())


@pytest.mark.parametrize(
    ("address", "count"), [(30, 4), (32, 1), (99, 1), (100, 6), (105, 1), (0, 105), (200, 1), (65_535, 1)]
)
def test_other_input_registers_are_exception_2(address: int, count: int) -> None:
    async def read() -> None:
        async with bench(plan()) as shelf:
            answer = await shelf.client.read_input_registers(address, count=count, device_id=1)
            assert answer.exception_code == ExcCodes.ILLEGAL_ADDRESS

    asyncio.run(read())


def test_coils_and_other_holding_registers_are_exception_2() -> None:
    async def ask() -> None:
        async with bench(plan()) as shelf:
            client = shelf.client
            answers = [
                await client.read_coils(0, count=1, device_id=1),
                await client.read_discrete_inputs(0, count=1, device_id=1),
                await client.write_coil(0, value=True, device_id=1),
                await client.read_holding_registers(0, count=2, device_id=1),
                await client.read_holding_registers(215, count=2, device_id=1),
                await client.write_register(216, 1, device_id=1),
                await client.write_register(0, 1, device_id=1),
            ]
            assert [answer.exception_code for answer in answers] == [ExcCodes.ILLEGAL_ADDRESS] * len(answers)
            assert (await client.write_register(200, 7, device_id=1)).exception_code == ExcCodes.ILLEGAL_VALUE

    asyncio.run(ask())


def test_an_unknown_unit_is_exception_11() -> None:
    async def ask() -> None:
        async with bench(plan()) as shelf:
            answer = await shelf.client.read_input_registers(0, count=2, device_id=9)
            assert answer.exception_code == ExcCodes.GATEWAY_NO_RESPONSE

    asyncio.run(ask())


def test_a_spike_is_one_reading() -> None:
    async def read() -> None:
        async with bench(plan(Spike(at_s=30, place="gw1/s01-b1", value=99_999.9))) as shelf:
            assert [await shelf.grams(0) for _ in range(3)] == [99_999.9, 3300.0, 3300.0]

    asyncio.run(read())


def test_a_stuck_bay_repeats_its_reading_to_the_gram_and_then_moves_again() -> None:
    async def read() -> None:
        async with bench(plan(Stuck(at_s=30, place="gw1/s01-b1", for_s=60), noise_sd_g=5.0)) as shelf:
            assert len({await shelf.grams(0) for _ in range(5)}) == 1
            assert len({await shelf.grams(15) for _ in range(5)}) > 1
            shelf.clock[0] += 40
            assert len({await shelf.grams(0) for _ in range(5)}) > 1

    asyncio.run(read())


def test_a_dead_unit_is_silent_while_its_neighbour_answers() -> None:
    async def read() -> None:
        async with bench(plan(Dead(at_s=30, place="gw1/s01", for_s=60))) as shelf:
            with pytest.raises(Exception, match="No response"):
                await shelf.grams(0)
            assert await shelf.grams(0, unit=2) == 3300.0
            shelf.clock[0] += 40
            assert await shelf.grams(0) == 3300.0

    asyncio.run(read())


def test_a_slow_answer_carries_its_own_request_and_delays_nobody_else() -> None:
    async def read() -> None:
        async with bench(plan(Slow(at_s=30, place="gw1/s01", for_s=60, delay_s=0.3))) as shelf:
            reader, writer = await asyncio.open_connection("127.0.0.1", shelf.server.port)
            for transaction, unit in ((7, 1), (8, 2)):
                writer.write(bytes([0, transaction, 0, 0, 0, 6, unit, 4, 0, 30, 0, 2]))
                await writer.drain()
            answers = [await asyncio.wait_for(reader.readexactly(13), 2) for _ in range(2)]
            assert [(answer[1], answer[6]) for answer in answers] == [(8, 2), (7, 1)]
            writer.close()

    asyncio.run(read())


def test_a_taken_port_is_told_in_one_line() -> None:
    async def twice() -> None:
        async with bench(plan()) as shelf:
            gateway = GatewayPlan("gw1", shelf.server.port, plan().stores[0].gateways[0].shelves)
            with pytest.raises(UserError, match="cannot listen"):
                await listen("127.0.0.1", gateway, shelf.store, lambda: 0.0)

    asyncio.run(twice())


@contextmanager
def store_process(path: Path, truth: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-c", "from simulators.main import app; app()", "store"]
    with subprocess.Popen(
        [*command, "--plan", str(path), "--truth", str(truth)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def test_the_process_serves_freezes_on_sigusr1_and_ends_cleanly_on_sigterm(tmp_path: Path) -> None:
    busy = plan()
    stores = tuple(StorePlan(store.site, store.gateways, shoppers_per_hour=100_000.0) for store in busy.stores)
    file, truth = tmp_path / "plan.json", tmp_path / "truth.jsonl"
    file.write_bytes(encode(Plan(busy.tenant, busy.skus, stores)))
    with store_process(file, truth) as (process, listening):
        assert listening["event"] == "listening"
        assert (listening["shelves"], listening["slots"]) == (2, 4)
        client = ModbusTcpClient("127.0.0.1", port=listening["ports"]["gw1"])
        assert client.connect()  # type: ignore[no-untyped-call]

        def weights() -> list[int]:
            return [
                register
                for unit in (1, 2)
                for register in client.read_input_registers(0, count=32, device_id=unit).registers
            ]

        first = weights()
        assert any(weights() != first for _ in itertools.repeat(None, 500)), "no shopper came"
        process.send_signal(signal.SIGUSR1)
        # Hands and swings end within two seconds; 1,000 equal readings in a row last longer than any shopper's gap.
        equal, last = 0, weights()
        for _ in range(20_000):
            now = weights()
            equal = equal + 1 if now == last else 0
            last = now
            if equal == 1_000:
                break
        assert equal == 1_000
        client.close()  # type: ignore[no-untyped-call]
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    on_shelf: dict[str, int] = {}
    for line in map(json.loads, truth.read_text().splitlines()):
        if line["kind"] in {"count", "sale", "put_back", "restock"}:
            on_shelf[line["slot"]] = line["on_shelf"]
    registers = dict(zip(("s01-b1", "s01-b16", "s02-b1", "s02-b16"), (1, 31, 33, 63), strict=True))
    assert {slot: last[at] for slot, at in registers.items()} == pytest.approx(
        {slot: units * UNIT_G * 10 for slot, units in on_shelf.items()}, abs=1
    )
