"""Webhooks over real workers that are killed while they send."""

import json
from collections import defaultdict
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Final
from uuid import uuid4

import psycopg
import pytest
from fastapi.testclient import TestClient
from standardwebhooks import Webhook

from deploy.local.deadline import wait_until
from tests.integration.api.world import World, add_anomaly
from tests.services.receiver import HANG, Receiver, receive
from tests.services.workers import worker

THINGS: Final = 60
STATES: Final = ("open", "acknowledged", "resolved")
KILLS: Final = 2
HEARD_BEFORE: Final = 8
WAIT_S: Final = 120.0


def change(world: World) -> set[str]:
    """Let things go through their states, all of them at once; returns their subjects."""
    things = [uuid4() for _ in range(THINGS)]
    with psycopg.connect(world.dsn) as connection:
        for thing in things:
            add_anomaly(connection, "acme", "east-1", thing, at=world.acme.end)
        for state in STATES[1:]:
            connection.execute("UPDATE anomaly SET state = %s WHERE anomaly_id = ANY(%s)", (state, things))
    return {f"anomalies/{thing}" for thing in things}


def verify_with(receiver: Receiver, secret: str) -> list[str]:
    """Check each request as it comes, by the reference library; returns the ids of those that were right."""
    verified: list[str] = []
    reference = Webhook(secret)

    def check(headers: dict[str, str], body: bytes) -> None:
        reference.verify(body, headers)
        verified.append(headers["webhook-id"])

    receiver.heard = check
    return verified


def is_all_told(world: World) -> bool:
    with psycopg.connect(world.dsn) as connection:
        row = connection.execute(
            """SELECT count(*) FILTER (WHERE d.state = 'delivered') FROM webhook_delivery d
               JOIN outbox o USING (tenant_id, event_id) WHERE o.type LIKE 'anomaly.%%'"""
        ).fetchone()
    assert row is not None
    return bool(row[0] == THINGS * len(STATES))


@pytest.mark.timeout(600)
def test_workers_that_are_killed_while_they_send_lose_nothing_and_keep_the_order_of_each_thing(
    hq: TestClient, world: World, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    settings = {"SHELFPULSE_WEBHOOK_LOOPBACK": "true", "SHELFPULSE_WEBHOOK_TIMEOUT_S": "5"}
    with receive() as receiver:
        body = {"url": receiver.url, "events": [f"anomaly.{state}" for state in STATES]}
        hook = hq.post("/v1/webhooks", json=body).json()
        verified = verify_with(receiver, hook["secret"])
        subjects = change(world)
        for _ in range(KILLS):
            before = len(receiver.requests)
            # One is under way, taken by the endpoint and not yet answered, when the worker dies.
            receiver.answers.extend([204] * HEARD_BEFORE + [HANG])
            with worker(world.dsn, log, settings=settings) as process:
                assert wait_until(lambda: len(receiver.requests) > before + HEARD_BEFORE, WAIT_S), log.read_text()  # noqa: B023
                process.kill()
                process.wait()
            receiver.answers.clear()
            assert not is_all_told(world)
        rotated = hq.post(f"/v1/webhooks/{hook['id']}:rotate").json()
        at_rotation = len(receiver.requests)
        with worker(world.dsn, log, settings=settings):
            assert wait_until(lambda: is_all_told(world), WAIT_S), log.read_text()
        requests = [(headers["webhook-id"], json.loads(body)) for _, headers, body in receiver.requests]
    assert len(verified) == len(requests) > at_rotation
    for _, headers, raw in receiver.requests[at_rotation:]:
        # The former secret was checked when it came; the new one signs beside it.
        assert len(headers["webhook-signature"].split()) == 2
        at = int(headers["webhook-timestamp"])
        assert (
            Webhook(rotated["secret"]).sign(headers["webhook-id"], datetime.fromtimestamp(at, UTC), raw.decode())
            in headers["webhook-signature"]
        )
    bodies = defaultdict(set)
    told = defaultdict(list)
    for event_id, event in requests:
        assert event["id"] == event_id
        bodies[event_id].add(json.dumps(event))
        told[event["subject"]].append(event["data"]["state"])
    assert len(requests) > len(bodies) == THINGS * len(STATES)
    assert all(len(one) == 1 for one in bodies.values())
    assert set(told) == subjects
    # A repetition comes before what happened later, never after it.
    assert {tuple(state for state, _ in groupby(states)) for states in told.values()} == {STATES}
