"""A channel to order in: one brand with a warehouse, dealers with stores, articles with prices, stock and credit."""

import secrets
from typing import Final, NamedTuple

import httpx

from contracts.errors import UserError
from platform_api.tenancy import service as tenancy
from stream import storage
from stream.storage import Connection

DEALERS: Final = 10
STORES_OF_EACH: Final = 3
SKUS: Final = 60
BUYERS_OF_EACH: Final = 1
LOOKERS: Final = 4
STOCK_UNITS: Final = 100_000
WAREHOUSE: Final = "wh-brand"
CREDIT: Final = "90000000.00"
_TIMEOUT_S: Final = 30.0


class Keys(NamedTuple):
    """API keys of people: who order, and who look."""

    buyers: list[str]
    lookers: list[str]


def open_market(dsn: str, api_url: str, tenant: str) -> Keys:
    """Make it, places and people in the database and the rest over HTTP. Raises UserError when the API refuses."""
    with storage.connect(dsn, application="shelfpulse bench") as connection:
        tenancy.create_tenant(connection, tenant, tenant.title())
        _places(connection, tenant)
        head = _key(connection, tenant, "hq", "hq", None)
        buyers = [
            _key(connection, tenant, f"buyer-{dealer}-{number}", "dealer", f"dealer-{dealer}")
            for dealer in range(DEALERS)
            for number in range(BUYERS_OF_EACH)
        ]
        lookers = [_key(connection, tenant, f"looker-{number}", "ops", None) for number in range(LOOKERS)]
    with httpx.Client(base_url=api_url, timeout=_TIMEOUT_S, headers={"Authorization": f"Bearer {head}"}) as client:
        _stock_up(client)
    return Keys(buyers, lookers)


def _places(connection: Connection, tenant: str) -> None:
    orgs = [("brand", None, "brand"), *((f"dealer-{number}", "brand", "dealer") for number in range(DEALERS))]
    sites = [(WAREHOUSE, "brand", "warehouse")]
    sites += [
        (f"store-{dealer}-{number}", f"dealer-{dealer}", "store")
        for dealer in range(DEALERS)
        for number in range(STORES_OF_EACH)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO org (tenant_id, org_id, parent_id, kind, name) VALUES (%s, %s, %s, %s, %s)",
            [(tenant, org, parent, kind, org) for org, parent, kind in orgs],
        )
        cursor.executemany(
            "INSERT INTO site (tenant_id, site_id, org_id, kind, name) VALUES (%s, %s, %s, %s, %s)",
            [(tenant, site, org, kind, site) for site, org, kind in sites],
        )


def _key(connection: Connection, tenant: str, name: str, role: str, org: str | None) -> str:
    login = f"{name}@{tenant}"
    tenancy.create_user(
        connection, tenant_id=tenant, login=login, password=secrets.token_urlsafe(12), role=role, org_id=org
    )
    return tenancy.create_api_key(connection, login=login, name="bench")


def _stock_up(client: httpx.Client) -> None:
    skus = [f"sku-{number:03}" for number in range(SKUS)]
    for sku in skus:
        _send(
            client, "POST", "/v1/skus", {"sku": sku, "name_en": sku, "unit_weight_g": 330.0, "tax_basis_points": 1300}
        )
    items = [{"sku": sku, "uom": "unit", "price": {"amount": "3.50", "currency": "CNY"}} for sku in skus]
    _send(client, "POST", "/v1/price-lists", {"id": "all", "name": "All", "level": "default", "items": items})
    _send(client, "POST", "/v1/price-lists/all:publish", None, {"If-Match": '"1"'})
    _send(client, "PUT", "/v1/orgs/brand/entitlements", {"skus": {"*": True}})
    cost = {"amount": f"{STOCK_UNITS}.00", "currency": "CNY"}
    for sku in skus:
        line = {"sku": sku, "units": STOCK_UNITS, "cost": cost}
        _send(client, "POST", "/v1/receipts", {"to": WAREHOUSE, "lines": [line]})
    for dealer in range(DEALERS):
        body = {"limit": {"amount": CREDIT, "currency": "CNY"}, "auto_approve": True}
        _send(client, "PUT", f"/v1/orgs/dealer-{dealer}/credit", body)


def _send(client: httpx.Client, method: str, path: str, body: object, headers: dict[str, str] | None = None) -> None:
    answer = client.request(method, path, json=body, headers=headers or {"Idempotency-Key": secrets.token_urlsafe(12)})
    if answer.is_error:
        message = f"{method} {path} was answered {answer.status_code}: {answer.text[:300]}"
        raise UserError(message, "this is a defect of the benchmark or of the API", code=1)
