"""The demo's files are what the parts that read them accept."""

from pathlib import Path

from deploy.demo import files, market
from edge_agent import settings as edge
from platform_api.imports.staging import stage
from platform_api.kit.nouns import Kind
from simulators import plan as plans

PORTS = {store.gateway: 20_000 + number for number, store in enumerate(market.STORES)}


def test_every_table_can_be_imported() -> None:
    for kind, text in files.tables().items():
        result = stage(kind, text.encode())
        assert result.faults == []
        assert result.rows


def test_the_simulators_accept_the_plan() -> None:
    plan = plans.parse(plans.encode(files.plan(PORTS)))
    assert sum(len(gateway.shelves) for store in plan.stores for gateway in store.gateways) == 40
    assert len(list(plans.bays(plan))) == len(list(market.bays()))


def test_every_gateway_accepts_its_configuration(tmp_path: Path) -> None:
    slots = tmp_path / "slots.csv"
    slots.write_text(files.tables()[Kind.SLOTS])
    bound = 0
    for store in market.STORES:
        config = tmp_path / f"{store.gateway}.toml"
        config.write_text(files.edge_toml(store, PORTS[store.gateway], slots, tmp_path / store.gateway / "outbox.db"))
        settings = edge.load(config, {"MQTT_URL": "mqtt://device:secret@127.0.0.1:1883"})
        assert settings.address == (market.TENANT, store.site, store.gateway)
        assert settings.outbox == tmp_path / store.gateway / "outbox.db"
        bound += len(settings.slots)
    assert bound == len(list(market.bays()))
