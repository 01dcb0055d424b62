import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import UserError
from simulators.plan import (
    FLAT_DAY,
    RETAIL_DAY,
    BayPlan,
    GatewayPlan,
    Plan,
    ShelfPlan,
    Sku,
    StorePlan,
    bays,
    encode,
    parse,
)
from simulators.story import Rush, Theft

names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,7}", fullmatch=True)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    skus = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    gateway_names = iter(draw(st.lists(names, min_size=6, max_size=6, unique=True)))

    def shelf(unit: int) -> ShelfPlan:
        numbers = draw(st.lists(st.integers(1, 16), min_size=1, max_size=4, unique=True))
        return ShelfPlan(
            f"s{unit:02d}",
            unit,
            tuple(
                BayPlan(number, draw(st.sampled_from(skus)), draw(st.integers(0, 30)), draw(st.integers(30, 60)))
                for number in numbers
            ),
            temperature_celsius=draw(st.floats(-50, 80)),
        )

    def store(site: str) -> StorePlan:
        gateways = tuple(
            GatewayPlan(next(gateway_names), 0, tuple(shelf(unit) for unit in range(1, draw(st.integers(2, 4)))))
            for _ in range(draw(st.integers(1, 2)))
        )
        return StorePlan(site, gateways, shoppers_per_hour=draw(st.floats(0, 1e6)), hourly=draw(day))

    day = st.sampled_from((FLAT_DAY, RETAIL_DAY))
    stores = tuple(store(site) for site in draw(st.lists(names, min_size=1, max_size=3, unique=True)))
    known = Plan("acme", tuple(Sku(sku, draw(st.floats(1, 1e4))) for sku in skus), stores)
    place = draw(st.sampled_from([f"{where.gateway.gateway}/{where.slot}" for where in bays(known)]))
    story = (Theft(at_s=1.0, place=place), Rush(at_s=2.0, sku=skus[0], factor=3.0, for_s=9.0))
    return Plan(known.tenant, known.skus, known.stores, seed=draw(st.integers()), story=story)


@given(plans())
def test_a_plan_survives_its_own_json(plan: Plan) -> None:
    assert parse(encode(plan)) == plan


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)).map(lambda value: json.dumps(value).encode()))  # fmt: skip  # noqa: E501 - one table of inputs
def test_anything_else_is_a_mistake_of_one_line(payload: bytes) -> None:
    with pytest.raises(UserError) as caught:
        parse(payload)
    assert "\n" not in caught.value.message


def minimal() -> dict[str, Any]:
    bay = {"bay": 1, "sku": "cola", "units": 20, "capacity": 24}
    shelf = {"device": "s01", "unit": 1, "bays": [bay]}
    return {
        "tenant": "acme",
        "skus": [{"sku": "cola", "unit_weight_g": 345.0}],
        "stores": [{"site": "shop", "gateways": [{"gateway": "gw1", "port": 0, "shelves": [shelf]}]}],
    }


def test_what_is_not_said_has_a_sensible_value() -> None:
    plan = parse(json.dumps(minimal()).encode())
    (where,) = bays(plan)
    assert (where.slot, where.shelf.noise_sd_g, plan.stores[0].hourly) == ("s01-b1", 10.0, FLAT_DAY)
    assert plan.stores[0].staff is not None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda plan: plan["stores"][0]["gateways"][0]["shelves"][0]["bays"][0].update(sku="tea"), "'tea' is not"),
        (lambda plan: plan["stores"][0]["gateways"][0]["shelves"][0]["bays"][0].update(units=25), "exceed capacity"),
        (lambda plan: plan["stores"][0]["gateways"][0]["shelves"][0].update(unit=248), "unit"),
        (lambda plan: plan["stores"].append(plan["stores"][0]), "site shop stands twice"),
        (lambda plan: plan["skus"].append(plan["skus"][0]), "SKU cola stands twice"),
        (lambda plan: plan.update(story=[{"kind": "theft", "at_s": 1, "place": "gw1/s01-b9"}]), "no slot"),
        (lambda plan: plan.update(story=[{"kind": "dead", "at_s": 1, "place": "gw1/s01-b1", "for_s": 1}]), "no device"),
        (lambda plan: plan.update(story=[{"kind": "stuck", "at_s": 1, "place": "gw2/s01", "for_s": 1}]), "no slot or"),
        (lambda plan: plan.update(story=[{"kind": "rush", "at_s": 1, "sku": "x", "factor": 2, "for_s": 1}]), "no SKU"),
        (lambda plan: plan.update(story=[{"kind": "restock", "at_s": 1, "site": "x"}]), "no site"),
        (lambda plan: plan.update(story=[{"kind": "explode", "at_s": 1}]), "explode"),
        (lambda plan: plan.update(sead=1), "sead"),
    ],
)
def test_a_mistake_names_its_place(change: Any, told: str) -> None:
    plan = minimal()
    change(plan)
    with pytest.raises(UserError, match=told):
        parse(json.dumps(plan).encode())


@pytest.mark.parametrize("place", ["gw1/s01", "gw1/s01-b1"])
def test_spikes_and_stuck_readings_befall_bays_and_controllers(place: str) -> None:
    plan = minimal() | {"story": [{"kind": "spike", "at_s": 1, "place": place, "value": 88.0}]}
    assert parse(json.dumps(plan).encode()).story[0].at_s == 1
