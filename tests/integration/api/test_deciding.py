import psycopg
import pytest
from fastapi.testclient import TestClient

from contracts.facts import CONTROL_CHANNEL
from stream.control import read_snapshot
from stream.control_data import strictness_of
from tests.integration.api.conftest import token_of
from tests.integration.api.world import World

FIRST = {"If-Match": '"1"'}


def test_an_anomaly_is_acknowledged_then_resolved_with_a_label(ops: TestClient, world: World) -> None:
    path = f"/v1/anomalies/{world.acme.anomaly}"
    assert ops.get(path).headers["ETag"] == '"1"'
    seen = ops.post(f"{path}:acknowledge", headers=FIRST)
    assert (seen.status_code, seen.json()["state"], seen.headers["ETag"]) == (200, "acknowledged", '"2"')
    done = ops.post(f"{path}:resolve", headers={"If-Match": '"2"'}, json={"label": "true", "note": "scale replaced"})
    assert (done.json()["state"], done.json()["label"], done.json()["note"]) == ("resolved", "true", "scale replaced")
    assert done.json()["decided_by"] == "ops@acme"
    assert ops.post(f"{path}:dismiss", headers={"If-Match": '"3"'}).status_code == 409


def test_a_dismissed_anomaly_counts_as_a_false_alarm(ops: TestClient, world: World) -> None:
    answer = ops.post(f"/v1/anomalies/{world.acme.anomaly}:dismiss", headers=FIRST)
    assert (answer.json()["state"], answer.json()["label"]) == ("dismissed", "false")


def test_a_label_changes_no_state_and_reaches_the_stream(ops: TestClient, world: World) -> None:
    path = f"/v1/anomalies/{world.acme.anomaly}"
    with psycopg.connect(world.dsn, autocommit=True) as listener:
        listener.execute(f"LISTEN {CONTROL_CHANNEL}".encode())
        answer = ops.post(f"{path}:label", headers=FIRST, json={"label": "expected"})
        assert (answer.status_code, answer.json()["state"], answer.json()["label"]) == (200, "open", "expected")
        (heard,) = listener.notifies(timeout=10, stop_after=1)
        assert heard.payload == "anomaly"
        assert list(read_snapshot(listener, 1, {}).strictness.values()) == [strictness_of(0, 1)]
        listener.execute("UPDATE anomaly SET decided_at = decided_at - interval '31 days' WHERE label IS NOT NULL")
        assert read_snapshot(listener, 2, {}).strictness == {}, "a label counts for a month"
    ops.post(f"{path}:dismiss", headers={"If-Match": '"2"'})
    assert ops.post(f"{path}:label", headers={"If-Match": '"3"'}, json={"label": "true"}).json()["state"] == "dismissed"


def test_a_proposal_is_approved_and_the_stream_hears_of_it(ops: TestClient, world: World) -> None:
    with psycopg.connect(world.dsn, autocommit=True) as listener:
        listener.execute(f"LISTEN {CONTROL_CHANNEL}".encode())
        answer = ops.post(f"/v1/proposals/{world.acme.proposal}:approve", headers=FIRST)
        assert (answer.status_code, answer.json()["state"]) == (200, "approved")
        (heard,) = listener.notifies(timeout=10, stop_after=1)
    assert heard.payload == "proposal"
    again = ops.post(f"/v1/proposals/{world.acme.proposal}:approve", headers={"If-Match": '"2"'})
    assert again.status_code == 409


def test_a_proposal_is_rejected(ops: TestClient, world: World) -> None:
    assert ops.post(f"/v1/proposals/{world.acme.proposal}:reject", headers=FIRST).json()["state"] == "rejected"


@pytest.mark.parametrize("what", ["anomalies", "proposals"])
def test_a_decision_names_the_version_it_was_made_on(ops: TestClient, world: World, what: str) -> None:
    action = "acknowledge" if what == "anomalies" else "approve"
    path = f"/v1/{what}/{world.acme.anomaly if what == 'anomalies' else world.acme.proposal}:{action}"
    assert ops.post(path).status_code == 428
    for tag in ('"2"', "1", 'W/"1"', "*", '"x"'):
        assert ops.post(path, headers={"If-Match": tag}).status_code == 412, tag
    assert ops.post(path, headers=FIRST).status_code == 200
    assert ops.post(path, headers=FIRST).status_code == 412


def test_an_auditor_reads_and_decides_nothing(anonymous: TestClient, world: World) -> None:
    headers = token_of(anonymous, "audit@acme")
    assert anonymous.get(f"/v1/anomalies/{world.acme.anomaly}", headers=headers).status_code == 200
    for path in (f"anomalies/{world.acme.anomaly}:dismiss", f"proposals/{world.acme.proposal}:approve"):
        assert anonymous.post(f"/v1/{path}", headers={**headers, **FIRST}).status_code == 403


def test_a_dealer_cannot_decide_about_a_site_of_another_dealer(anonymous: TestClient, world: World) -> None:
    headers = token_of(anonymous, "dealer@acme")
    ops = {"Authorization": f"Bearer {world.acme.key}"}
    (west,) = anonymous.get("/v1/anomalies", params={"site": "west-1"}, headers=ops).json()["items"]
    path = f"/v1/anomalies/{west['id']}:acknowledge"
    assert anonymous.post(path, headers={**headers, **FIRST}).status_code == 404
    assert anonymous.post(path, headers={**ops, **FIRST}).status_code == 200
