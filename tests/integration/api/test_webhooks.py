"""Webhooks from the change of a row to a receiver that may fail, hang, or be gone."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from uuid import uuid4

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg.rows import DictRow, dict_row

from platform_api.kit.destinations import Reach
from platform_api.kit.signatures import is_signed
from platform_api.webhooks.delivering import Sending, deliver
from platform_api.webhooks.rules import RETRY_S
from tests.integration.api.world import World
from tests.services.receiver import DRIP, HANG, Receiver, receive

Row = dict[str, Any]
LATER = timedelta(days=2)
WAIT_S: Final = 60.0
PATIENT: Final = {"timeout_s": WAIT_S, "slow_s": 10 * WAIT_S}
"""On a machine that does much else nobody is slow unless a test says so."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receive() as one:
        yield one


@pytest.fixture
def owner(world: World) -> Iterator[psycopg.Connection[DictRow]]:
    """The connection of the worker."""
    with psycopg.connect(world.dsn, autocommit=True, row_factory=dict_row) as connection:
        yield connection


def subscribe(hq: TestClient, receiver: Receiver, *events: str, path: str = "/hook") -> Row:
    answer = hq.post("/v1/webhooks", json={"url": receiver.url + path, "events": list(events)})
    assert answer.status_code == 201, answer.text
    return cast("Row", answer.json())


def tell(owner: psycopg.Connection[DictRow], site: str = "east-1", tenant: str = "acme", sku: str = "tea") -> None:
    """Let something happen: a proposal is there."""
    owner.execute(
        """INSERT INTO proposal (proposal_id, tenant_id, site_id, sku, cycle, units, state, triggered_at)
           VALUES (%s, %s, %s, %s, 1, 7, 'expired', now())""",
        (uuid4(), tenant, site, sku),
    )


def send(owner: psycopg.Connection[DictRow], after: timedelta = timedelta(), **sending: Any) -> int:
    """Send what is due at one time, which stands still meanwhile."""
    at = datetime.now(UTC) + after
    return deliver(owner, lambda: at, Sending(reach=Reach(loopback=True), **{**PATIENT, **sending}))


def deliveries(hq: TestClient, hook: Row) -> list[Row]:
    return cast("list[Row]", hq.get(f"/v1/webhooks/{hook['id']}/deliveries").json()["items"])


def test_a_subscriber_is_told_once_signed_as_a_cloud_event(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    hook = subscribe(hq, receiver, "proposal.expired")
    tell(owner)
    tell(owner, tenant="bravo")
    owner.execute("UPDATE anomaly SET state = 'resolved' WHERE tenant_id = 'acme'")
    assert send(owner) == 1
    assert send(owner) == 0
    ((path, headers, body),) = receiver.requests
    assert path == "/hook"
    assert headers["content-type"].startswith("application/cloudevents+json")
    assert is_signed(hook["secret"], headers, body)
    event = json.loads(body)
    assert event["specversion"] == "1.0"
    assert event["id"] == headers["webhook-id"]
    assert event["type"] == "shelfpulse.proposal.expired"
    assert event["source"] == "/tenants/acme"
    assert event["subject"] == f"proposals/{event['data']['id']}"
    assert (event["data"]["site"], event["data"]["sku"], event["data"]["units"]) == ("east-1", "tea", 7)
    (delivery,) = deliveries(hq, hook)
    assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("delivered", 1, 204)


def test_what_was_rolled_back_is_told_to_nobody(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    subscribe(hq, receiver)
    with owner.transaction(force_rollback=True):
        tell(owner)
    assert send(owner) == 0
    assert receiver.requests == []


def test_a_cart_that_becomes_an_order_is_told_with_its_money(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow], world: World
) -> None:
    subscribe(hq, receiver, "order.cancelled")
    owner.execute(
        "UPDATE sales_order SET net_minor = 1230, total_minor = 1230, state = 'cancelled' WHERE order_id = %s",
        (world.acme.names["order_id"],),
    )
    assert send(owner) == 1
    data = json.loads(receiver.requests[0][2])["data"]
    assert data["id"] == world.acme.names["order_id"]
    assert data["total"] == {"amount": "12.30", "currency": "CNY"}


def test_what_fails_is_tried_again_later_with_the_same_id(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    hook = subscribe(hq, receiver)
    tell(owner)
    receiver.answers.extend([500, 302])
    assert send(owner) == 1
    (delivery,) = deliveries(hq, hook)
    assert (delivery["state"], delivery["status"], delivery["error"]) == ("pending", 500, "answered 500")
    assert hq.get(f"/v1/webhooks/{hook['id']}").json()["failing"] is not None
    assert send(owner) == 0  # not before its time
    assert send(owner, timedelta(seconds=7)) == 1
    assert send(owner, timedelta(seconds=60)) == 0
    assert send(owner, timedelta(seconds=600)) == 1
    assert len({headers["webhook-id"] for _, headers, _ in receiver.requests}) == 1
    assert len({body for _, _, body in receiver.requests}) == 1
    (delivery,) = deliveries(hq, hook)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 3)
    assert hq.get(f"/v1/webhooks/{hook['id']}").json()["failing"] is None


def test_an_endpoint_may_ask_for_more_time(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    subscribe(hq, receiver)
    tell(owner)
    receiver.answers.append(429)
    receiver.headers["retry-after"] = "3600"
    assert send(owner) == 1
    assert send(owner, timedelta(minutes=50)) == 0
    assert send(owner, timedelta(minutes=70)) == 1


@pytest.mark.parametrize("behaviour", [HANG, DRIP])
def test_an_endpoint_that_hangs_is_left_and_does_not_hold_up_the_others(
    behaviour: int, hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    slow = subscribe(hq, receiver, "proposal.expired")
    tell(owner)
    receiver.answers.append(behaviour)
    assert send(owner, timeout_s=0.5) == 1
    (delivery,) = deliveries(hq, slow)
    assert (delivery["state"], delivery["status"], delivery["error"]) == ("pending", None, "no answer within 0.5 s")
    with receive() as other:
        subscribe(hq, other, "proposal.expired")
        for _ in range(3):
            tell(owner)
        # The endpoint that failed rests, however much waits for it.
        assert send(owner) == 3
        assert len(other.requests) == 3


def test_nobody_listening_is_a_failure_as_any_other(hq: TestClient, owner: psycopg.Connection[DictRow]) -> None:
    with receive() as gone:
        hook = subscribe(hq, gone)
    tell(owner)
    assert send(owner) == 1
    (delivery,) = deliveries(hq, hook)
    assert delivery["state"] == "pending"
    assert "ConnectError" in delivery["error"]


def test_an_endpoint_that_is_gone_is_disabled_at_once(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    hook = subscribe(hq, receiver)
    tell(owner)
    receiver.answers.append(410)
    assert send(owner) == 1
    answer = hq.get(f"/v1/webhooks/{hook['id']}")
    assert (answer.json()["enabled"], answer.json()["disabled_reason"]) == (False, "the endpoint answered 410 Gone")
    tell(owner)
    assert send(owner, LATER) == 0
    assert [one["state"] for one in deliveries(hq, hook)] == ["failed"]
    assert answer.headers["ETag"] == '"2"'


def test_an_endpoint_that_misses_every_attempt_for_days_is_disabled(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    hook = subscribe(hq, receiver)
    tell(owner)
    after = timedelta()
    for wait_s in (0, *RETRY_S):
        # With the rest of the endpoint on top.
        after += timedelta(seconds=wait_s, minutes=6)
        receiver.answers.append(503)
        assert send(owner, after, chance=lambda: 0.5) == 1
    assert send(owner, 2 * after) == 0
    (delivery,) = deliveries(hq, hook)
    assert (delivery["state"], delivery["attempts"]) == ("failed", 10)
    shown = hq.get(f"/v1/webhooks/{hook['id']}").json()
    assert shown["enabled"] is False
    assert "took nothing for 3 days" in shown["disabled_reason"]


def test_an_endpoint_for_which_much_waits_is_disabled_although_no_delivery_used_its_attempts(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    hook = subscribe(hq, receiver)
    for days in range(6):
        tell(owner)
        receiver.answers += [503] * 9
        send(owner, timedelta(days=days))
    shown = hq.get(f"/v1/webhooks/{hook['id']}").json()
    assert shown["enabled"] is False
    assert "took nothing for 3 days" in shown["disabled_reason"]
    assert {one["state"] for one in deliveries(hq, hook)} == {"pending"}


def test_what_waited_for_a_disabled_subscription_is_sent_when_it_is_enabled_again(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow]
) -> None:
    hook = subscribe(hq, receiver)
    tell(owner)
    wanted = {"url": hook["url"], "events": [], "enabled": False}
    path = f"/v1/webhooks/{hook['id']}"
    assert hq.put(path, json=wanted, headers={"If-Match": '"7"'}).status_code == 412
    off = hq.put(path, json=wanted, headers={"If-Match": '"1"'})
    assert off.json()["disabled_reason"] == "by hand"
    assert send(owner) == 0
    assert hq.put(path, json={**wanted, "enabled": True}, headers={"If-Match": off.headers["ETag"]}).status_code == 200
    assert send(owner) == 1


def test_a_worker_that_dies_leaves_its_deliveries_to_the_next(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe(hq, receiver)
    tell(owner)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("platform_api.webhooks.delivering._settle", die)
        with pytest.raises(KeyboardInterrupt):
            send(owner)
    assert send(owner) == 0
    assert send(owner, timedelta(minutes=10)) == 1
    assert len(receiver.requests) == 2
    assert receiver.requests[0][1]["webhook-id"] == receiver.requests[1][1]["webhook-id"]


def test_what_happened_later_to_a_thing_waits_for_what_happened_before(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow], world: World
) -> None:
    hook = subscribe(hq, receiver)
    for state in ("acknowledged", "resolved"):
        owner.execute("UPDATE anomaly SET state = %s WHERE anomaly_id = %s", (state, world.acme.anomaly))
    receiver.answers.append(500)
    assert send(owner) == 1
    tell(owner)
    assert send(owner) == 0  # an endpoint that failed rests
    assert send(owner, timedelta(seconds=7)) == 3
    types = [json.loads(body)["type"].removeprefix("shelfpulse.") for _, _, body in receiver.requests]
    assert types == ["anomaly.acknowledged", "proposal.expired", "anomaly.acknowledged", "anomaly.resolved"]
    assert {one["state"] for one in deliveries(hq, hook)} == {"delivered"}
