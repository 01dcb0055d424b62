"""A sandbox begins anew beside workers that go about it, and its pages say what it is."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg import sql
from psycopg.rows import DictRow

from deploy.local.deadline import wait_until
from deploy.planning import PLANNER
from deploy.verify import verify
from platform_api import jobs
from platform_api.flows import sandboxing
from platform_api.kit.destinations import Reach
from platform_api.webhooks.delivering import Sending
from tests.integration.api.test_examples import application, client, command, dsn, made, owner, rows_of
from tests.services.receiver import receive

__all__ = ["application", "client", "dsn", "made", "owner"]

RESETS: Final = 4
ROUNDS: Final = 3
"""Of each worker between two resets."""
MARK: Final = 'data-testid="sandbox"'
WAIT_S: Final = 120.0
SENDING: Final = Sending(reach=Reach(loopback=True), timeout_s=WAIT_S)

Job = Callable[[psycopg.Connection[Any]], object]


def now() -> datetime:
    return datetime.now(UTC)


def trade(connection: psycopg.Connection[Any]) -> None:
    """All that the worker does about stock, orders and shipments."""
    jobs.book_stock(connection, now())
    jobs.fulfil_proposals(connection, now(), PLANNER)
    jobs.allocate_back_orders(connection, now())
    jobs.confirm_refills(connection, now())
    jobs.expire_reservations(connection, now())


def tell(connection: psycopg.Connection[Any]) -> None:
    jobs.deliver_webhooks(connection, now, SENDING, lambda: False)


def approve(connection: psycopg.Connection[Any]) -> None:
    """People who use the sandbox: what is suggested is approved, and what is found is acknowledged."""
    connection.execute("UPDATE proposal SET state = 'approved', version = version + 1 WHERE state = 'open'")
    connection.execute("UPDATE anomaly SET state = 'acknowledged', version = version + 1 WHERE state = 'open'")


class Going:
    """A job that is done over and over in a thread. A round may be refused what a reset took away, and is repeated."""

    def __init__(self, dsn: str, job: Job) -> None:
        self.rounds = 0
        self.wrong: list[Exception] = []
        self._job = job
        self._dsn = dsn
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def on(self) -> "Iterator[Going]":
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join(WAIT_S)
            assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True) as connection:
                    self._job(connection)
            except (psycopg.errors.DeadlockDetected, psycopg.IntegrityError):
                pass
            except Exception as error:  # noqa: BLE001 - told by the test
                self.wrong.append(error)
            self.rounds += 1


def quieten(owner: psycopg.Connection[DictRow], dsn: str, tenant: str) -> dict[str, int]:
    """What there is once the workers have nothing to do."""
    before: dict[str, int] = {}
    while (after := rows_of(owner, tenant)) != before:
        before = after
        for job in (trade, tell):
            with psycopg.connect(dsn, autocommit=True) as connection:
                job(connection)
    return before


def after_some(*going: Going) -> None:
    """Wait until each has gone round a few times more."""
    wanted = [one.rounds + ROUNDS for one in going]
    assert wait_until(lambda: all(one.rounds >= n for one, n in zip(going, wanted, strict=True)), WAIT_S)


def test_a_reset_takes_along_what_was_under_way_and_gives_way_where_two_wait_for_each_other(
    owner: psycopg.Connection[DictRow], made: sandboxing.Sandbox, dsn: str
) -> None:
    first = rows_of(owner, made.tenant)
    # The reset finds out first that they wait for each other, and is the one to give way.
    owner.execute(sql.SQL("ALTER DATABASE {} SET deadlock_timeout = '5s'").format(sql.Identifier(owner.info.dbname)))
    with psycopg.connect(dsn) as worker, ThreadPoolExecutor(1) as pool:
        worker.execute("SET deadlock_timeout = '30s'")
        worker.execute("UPDATE proposal SET state = 'approved' WHERE tenant_id = %s", (made.tenant,))
        reset = pool.submit(command, dsn, "acme", "--reset")
        assert wait_until(lambda: _waits(owner), WAIT_S)
        with suppress(psycopg.errors.DeadlockDetected):
            worker.execute("UPDATE anomaly SET state = 'acknowledged' WHERE tenant_id = %s", (made.tenant,))
        worker.commit()
        reset.result(WAIT_S)
    assert rows_of(owner, made.tenant) == first


def _waits(owner: psycopg.Connection[DictRow]) -> bool:
    query = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return owner.execute(query).fetchone() is not None


@pytest.mark.timeout(900)
def test_a_sandbox_begins_anew_beside_workers_that_go_about_it(
    client: TestClient, owner: psycopg.Connection[DictRow], made: sandboxing.Sandbox, dsn: str
) -> None:
    with receive() as receiver:
        assert client.post("/v1/webhooks", json={"url": receiver.url}).status_code == 201
        command(dsn, "acme", "--reset")
        first = quieten(owner, dsn, made.tenant)
        with Going(dsn, trade).on() as trading, Going(dsn, tell).on() as telling:
            with Going(dsn, approve).on() as approving:
                for _ in range(RESETS):
                    after_some(trading, telling, approving)
                    command(dsn, "acme", "--reset")
                after_some(trading, telling, approving)
            orders = rows_of(owner, made.tenant)["sales_order"]
            command(dsn, "acme", "--reset")
        assert [*trading.wrong, *telling.wrong, *approving.wrong] == []
        assert orders > 0
        assert quieten(owner, dsn, made.tenant) == first
    assert verify(dsn).broken == []


def test_each_page_of_a_sandbox_says_so_and_no_other(
    client: TestClient, owner: psycopg.Connection[DictRow], made: sandboxing.Sandbox
) -> None:
    assert client.get("/v1/me").json()["sandbox"] is True
    for path in ("/", "/desk", "/docs"):
        assert MARK in client.get(path).text
    client.headers["Authorization"] = client.headers["Authorization"].replace("spk_test_", "spk_")
    owner.execute("UPDATE tenant SET sandbox_of = NULL WHERE tenant_id = %s", (made.tenant,))
    for path in ("/", "/desk", "/docs"):
        answer = client.get(path)
        assert (answer.status_code, MARK in answer.text) == (200, False)
