"""The API on every tier: what reads, and an order's way into the ledger."""

from fastapi.testclient import TestClient

from deploy.verify import verify
from platform_api.app import create_app
from tests.conformance.storage.conftest import Store
from tests.integration.api import world as worlds
from tests.integration.api.conftest import bearer
from tests.integration.api.serving import settings_for

LISTS = (
    "/v1/anomalies", "/v1/events", "/v1/shelf-positions", "/v1/proposals", "/v1/gaps", "/v1/live/wall", "/v1/skus",
    "/v1/stock", "/v1/stock-moves", "/v1/orders", "/v1/shipments", "/v1/receivables", "/v1/forecasts", "/v1/audit-log",
)  # fmt: skip


def test_a_tenant_reads_its_own_and_books_a_transfer_on_every_tier(store: Store) -> None:
    world = worlds.seed(store.dsn)
    with TestClient(create_app(settings_for(store.dsn))) as client:
        client.headers.update(bearer(world, "hq@acme"))
        for path in LISTS:
            assert client.get(path).status_code == 200, path
        for resolution in ("raw", "1m", "1h"):
            asked = {"series_id": world.acme.series, "resolution": resolution}
            assert client.get("/v1/readings", params=asked).status_code == 200, resolution
        theirs = {"series_id": world.bravo.series}
        assert client.get("/v1/readings", params=theirs).status_code == 404
        cost = {"amount": "50.00", "currency": "CNY"}
        line = {"sku": "tea", "units": 50, "cost": cost}
        for number, (path, body) in enumerate(
            (
                ("/v1/receipts", {"to": "west-1", "lines": [line]}),
                ("/v1/transfers", {"from": "west-1", "to": "east-1", "lines": [{"sku": "tea", "units": 20}]}),
            )
        ):
            made = client.post(path, json=body, headers={"Idempotency-Key": f"key-{number}"})
            assert made.status_code == 201, made.text
    report = verify(store.dsn)
    assert report.invariants["I3"], report.broken
