"""Webhooks from the change of a row to a receiver that may fail, hang, or be gone."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from uuid import uuid4

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg.rows import DictRow, dict_row

from deploy.local.deadline import wait_until
from platform_api.kit.destinations import Reach
from platform_api.kit.signatures import is_signed
from platform_api.webhooks.delivering import ENDPOINT_MAX, TENANT_APART_MAX, TENANT_MAX, Sending, deliver, forget
from platform_api.webhooks.rules import RETRY_S
from tests.integration.api.conftest import bearer
from tests.integration.api.world import World, add_anomaly
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


@contextmanager
def delivering(world: World, receiver: Receiver, after: timedelta = timedelta()) -> Iterator[None]:
    """Deliver in a thread, with more patience than the test has; at the end what hangs is cut off."""

    def round_() -> None:
        with psycopg.connect(world.dsn, autocommit=True, row_factory=dict_row) as connection:
            sending = Sending(reach=Reach(loopback=True), timeout_s=10 * WAIT_S, slow_s=10 * WAIT_S)
            deliver(connection, lambda: datetime.now(UTC) + after, sending)

    receiver.released.clear()
    receiver.answers.extend([HANG] * 100)
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(round_)
        try:
            yield
        finally:
            receiver.released.set()
        sent.result(WAIT_S)


def paths(receiver: Receiver) -> Counter[str]:
    return Counter(path for path, _, _ in receiver.requests)


def test_slow_endpoints_take_their_share_and_hold_up_neither_their_tenant_nor_others(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow], world: World
) -> None:
    events = 3 * ENDPOINT_MAX
    with receive() as quick:
        subscribe(hq, quick, "proposal.expired", path="/acme")
        hq.post("/v1/webhooks", json={"url": f"{quick.url}/bravo", "events": []}, headers=bearer(world, "hq@bravo"))
        subscribe(hq, receiver, "proposal.expired", path="/1")
        for _ in range(events):
            tell(owner)
        with delivering(world, receiver):
            assert wait_until(lambda: paths(quick)["/acme"] == events, WAIT_S)
            assert wait_until(lambda: paths(receiver) == {"/1": ENDPOINT_MAX}, WAIT_S)
            for path in ("/2", "/3"):
                subscribe(hq, receiver, "anomaly.resolved", path=path)
            for _ in range(2 * TENANT_MAX):
                add_anomaly(owner, "acme", "east-1", uuid4(), at=world.acme.end)
            owner.execute("UPDATE anomaly SET state = 'resolved' WHERE tenant_id = 'acme'")
            assert wait_until(lambda: paths(receiver).total() == TENANT_MAX, WAIT_S)
            for _ in range(events):
                tell(owner, tenant="bravo")
            assert wait_until(lambda: paths(quick)["/bravo"] == events, WAIT_S)
            assert paths(receiver).total() == TENANT_MAX
        receiver.requests.clear()
        tell(owner)
        # All three fail by now: one is asked of each, of two of them at once.
        with delivering(world, receiver, timedelta(minutes=1)):
            assert wait_until(lambda: paths(receiver).total() == TENANT_APART_MAX, WAIT_S)
            assert wait_until(lambda: paths(quick)["/acme"] == events + 1, WAIT_S)
            assert paths(receiver).total() == len(paths(receiver)) == TENANT_APART_MAX


def test_an_endpoint_that_took_long_is_asked_one_at_a_time_apart_from_the_quick_until_it_is_quick_again(
    hq: TestClient, receiver: Receiver, owner: psycopg.Connection[DictRow], world: World
) -> None:
    slow = subscribe(hq, receiver, "proposal.expired", path="/slow")

    def is_slow() -> bool:
        return bool(hq.get(f"/v1/webhooks/{slow['id']}").json()["slow"])

    for limit_s, expected in ((0.0, True), (WAIT_S, False), (0.0, True)):
        tell(owner)
        assert send(owner, slow_s=limit_s) == 1
        assert is_slow() is expected
    receiver.requests.clear()
    with receive() as quick:
        subscribe(hq, quick, "proposal.expired", path="/quick")
        for _ in range(3 * ENDPOINT_MAX):
            tell(owner)
        with delivering(world, receiver):
            assert wait_until(lambda: paths(quick)["/quick"] == 3 * ENDPOINT_MAX, WAIT_S)
            assert wait_until(lambda: paths(receiver).total() == 1, WAIT_S)
            tell(owner)
            assert wait_until(lambda: paths(quick)["/quick"] == 3 * ENDPOINT_MAX + 1, WAIT_S)
            assert paths(receiver).total() == 1


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
