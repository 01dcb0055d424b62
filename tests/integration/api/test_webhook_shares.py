"""Slow endpoints take their share of the worker's places, and hold up nobody else."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
from fastapi.testclient import TestClient
from psycopg.rows import DictRow, dict_row

from deploy.local.deadline import wait_until
from platform_api.kit.destinations import Reach
from platform_api.webhooks.delivering import ENDPOINT_MAX, TENANT_APART_MAX, TENANT_MAX, Sending, deliver
from tests.integration.api.conftest import bearer
from tests.integration.api.test_webhooks import WAIT_S, owner, receiver, send, subscribe, tell
from tests.integration.api.world import World, add_anomaly
from tests.services.receiver import HANG, Receiver, receive

__all__ = ["owner", "receiver"]


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
