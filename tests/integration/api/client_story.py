"""What an integrator does with the generated client. Run in its environment: URL and password as arguments."""

import json
import sys

import httpx
from shelfpulse_client import AuthenticatedClient, Client
from shelfpulse_client.api.orders import create_v1_orders_post
from shelfpulse_client.api.tenancy import create_org_v1_orgs_post, create_token_v1_auth_token_post
from shelfpulse_client.api.tenancy import list_orgs_v1_orgs_get as list_orgs
from shelfpulse_client.models import (
    AccessToken,
    LineRequest,
    ListingOrg,
    LoginRequest,
    NewOrg,
    NewOrgKind,
    Order,
    OrderRequest,
    Problem,
)


def main(url: str, password: str) -> None:
    """Log in, walk a list, order twice by one key, and make what is there already."""
    patience = httpx.Timeout(120)
    anonymous = Client(base_url=url, timeout=patience, raise_on_unexpected_status=True)
    refused = create_token_v1_auth_token_post.sync(client=anonymous, body=LoginRequest("hq@acme", "wrong password"))
    assert isinstance(refused, Problem), refused
    token = create_token_v1_auth_token_post.sync(client=anonymous, body=LoginRequest("hq@acme", password))
    assert isinstance(token, AccessToken), token
    client = AuthenticatedClient(
        base_url=url, token=token.access_token, timeout=patience, raise_on_unexpected_status=True
    )
    orgs, pages, cursor = [], 0, None
    while True:
        page = list_orgs.sync(client=client, limit=2, cursor=cursor)
        assert isinstance(page, ListingOrg), page
        orgs += [org.id for org in page.items]
        pages, cursor = pages + 1, page.next_
        if not cursor:
            break
    cart = OrderRequest(org="east", ship_to="east-1", lines=[LineRequest(sku="tea", uom="case", packs=2)])
    orders = [create_v1_orders_post.sync(client=client, body=cart, idempotency_key="one") for _ in range(2)]
    assert all(isinstance(order, Order) for order in orders), orders
    body = NewOrg(id="east", kind=NewOrgKind.DEALER, name="East")
    conflict = create_org_v1_orgs_post.sync_detailed(client=client, body=body, idempotency_key="two")
    assert isinstance(conflict.parsed, Problem), conflict
    told = {
        "refused": refused.status,
        "orgs": orgs,
        "pages": pages,
        "orders": [str(order.id) for order in orders],
        "total": orders[0].total.amount,
        "conflict": [int(conflict.status_code), conflict.parsed.detail],
    }
    sys.stdout.write(json.dumps(told))


main(*sys.argv[1:])
