"""Subscriptions of webhooks: their secrets, trials and replays, and what is refused."""

import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg.rows import DictRow

from platform_api.kit.signatures import is_signed
from platform_api.webhooks.delivering import forget
from tests.integration.api.test_webhooks import Row, deliveries, owner, receiver, send, subscribe, tell
from tests.services.receiver import Receiver

__all__ = ["owner", "receiver"]


def test_a_new_secret_signs_beside_the_former_one_for_a_day(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    hook = subscribe(hq, receiver)
    rotated = hq.post(f"/v1/webhooks/{hook['id']}:rotate").json()
    assert rotated["secret"] != hook["secret"]
    assert rotated["former_secret_until"] is not None
    assert "secret" not in hq.get(f"/v1/webhooks/{hook['id']}").json()
    for _ in range(2):
        tell(owner)
    send(owner)
    for _, headers, body in receiver.requests:
        assert is_signed(hook["secret"], headers, body)
        assert is_signed(rotated["secret"], headers, body)
    tell(owner)
    assert send(owner, timedelta(hours=25)) == 1
    _, headers, body = receiver.requests[-1]
    assert not is_signed(hook["secret"], headers, body)
    assert is_signed(rotated["secret"], headers, body)


def test_a_subscription_can_be_tried(hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]) -> None:
    hook = subscribe(hq, receiver, "order.closed")
    subscribe(hq, receiver, path="/other")
    made = hq.post(f"/v1/webhooks/{hook['id']}:test")
    assert made.status_code == 202
    assert send(owner) == 1
    ((path, headers, body),) = receiver.requests
    assert path == "/hook"
    assert json.loads(body)["type"] == "shelfpulse.webhook.test"
    assert headers["webhook-id"] == made.json()["id"]


def test_events_are_told_again_by_time_and_by_id(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    tell(owner)
    start = datetime.now(UTC)
    for _ in range(3):
        tell(owner)
    end = datetime.now(UTC)
    owner.execute("UPDATE anomaly SET state = 'resolved' WHERE tenant_id = 'acme'")
    hook = subscribe(hq, receiver, "proposal.expired")
    path = f"/v1/webhooks/{hook['id']}:replay"
    asked = hq.post(path, json={"from": start.isoformat(), "to": end.isoformat()})
    assert (asked.status_code, asked.json()) == (202, {"events": 3, "more": False})
    assert send(owner) == 3
    told = hq.get("/v1/webhook-events", params={"type": "proposal.expired"}).json()["items"]
    assert len(told) == 4
    once_more = [told[0]["id"], told[1]["id"]]
    assert hq.post(path, json={"events": once_more}).json()["events"] == 2
    assert send(owner) == 2
    ids = [headers["webhook-id"] for _, headers, _ in receiver.requests]
    assert sorted(ids[3:]) == sorted(once_more)
    assert ids.count(told[1]["id"]) == 2


@pytest.mark.parametrize("body", [{}, {"events": [], "to": "2026-01-05T00:00:00Z"}])
def test_a_replay_names_what_it_wants(body: Row, hq: TestClient, receiver: Receiver) -> None:
    hook = subscribe(hq, receiver)
    assert hq.post(f"/v1/webhooks/{hook['id']}:replay", json=body).status_code == 422


def test_private_addresses_and_unknown_types_are_refused(hq: TestClient) -> None:
    for url in ("https://10.0.0.1/", "http://erp.example.com/", "https://169.254.169.254/", "https://localhost.local/"):
        answer = hq.post("/v1/webhooks", json={"url": url})
        assert answer.status_code == 422, url
        assert answer.json()["errors"][0]["where"] == "body.url"
    assert (
        hq.post("/v1/webhooks", json={"url": "https://erp.example.com/", "events": ["order.eaten"]}).status_code == 422
    )


def test_a_tenant_has_so_many_subscriptions_at_most(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    owner.execute("INSERT INTO tenant_quota VALUES ('acme', 'webhooks', 2)")
    subscribe(hq, receiver)
    assert hq.post("/v1/webhooks", json={"url": receiver.url}).status_code == 403


def test_the_api_cannot_read_the_secrets_that_it_wrote(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    subscribe(hq, receiver)
    with owner.transaction():
        owner.execute("SET LOCAL ROLE shelfpulse_api")
        owner.execute("SELECT set_config('app.tenant', 'acme', true)")
        assert owner.execute("SELECT count(*) AS n FROM webhook").fetchone() == {"n": 2}
    owner.execute("SET ROLE shelfpulse_api")
    for query in (b"SELECT secret FROM webhook", b"SELECT previous_secret FROM webhook"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            owner.execute(query)


def test_old_events_are_forgotten_with_their_deliveries(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    hook = subscribe(hq, receiver)
    tell(owner)
    assert forget(owner, datetime.now(UTC) + timedelta(days=29)) == 0
    assert forget(owner, datetime.now(UTC) + timedelta(days=31)) >= 1
    assert deliveries(hq, hook) == []
