from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import psycopg
import pytest
from fastapi.testclient import TestClient

from tests.integration.api.conftest import bearer, token_of
from tests.integration.api.world import PASSWORD, World

NORTH = {"id": "north", "parent": "brand", "kind": "dealer", "name": "North"}
PERSON = {"login": "li@acme", "password": PASSWORD, "role": "dealer", "org": "east", "name": "Li"}


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def test_the_same_key_twenty_times_at_once_makes_one_thing(server: str, world: World) -> None:
    headers = {**bearer(world, "hq@acme"), **key("north-1")}

    def ask(_: int) -> httpx.Response:
        return httpx.post(f"{server}/v1/orgs", json=NORTH, headers=headers, timeout=60)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    made = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.text for answer in made}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in made) == 1
    assert all("being worked on" in answer.text for answer in answers if answer.status_code == 409)
    again = ask(0)
    assert (again.status_code, again.headers["Idempotency-Replayed"], again.text) == (201, "true", made[0].text)


def test_a_creating_request_names_a_key_and_a_key_names_one_request(hq: TestClient) -> None:
    assert hq.post("/v1/orgs", json=NORTH).status_code == 400
    assert hq.post("/v1/orgs", json=NORTH, headers=key("a")).status_code == 201
    other = hq.post("/v1/orgs", json={**NORTH, "id": "south"}, headers=key("a"))
    assert (other.status_code, other.json()["errors"][0]["where"]) == (422, "header.Idempotency-Key")
    assert hq.post("/v1/users", json=PERSON, headers=key("b")).status_code == 201
    assert "Idempotency-Replayed" in hq.post("/v1/users", json=PERSON, headers=key("b")).headers
    guessed = hq.post("/v1/users", json={**PERSON, "password": PASSWORD[::-1]}, headers=key("b"))
    assert (guessed.status_code, guessed.json()["errors"][0]["where"]) == (422, "header.Idempotency-Key")


def test_a_request_that_failed_may_be_repeated_with_its_key(hq: TestClient) -> None:
    assert hq.post("/v1/orgs", json={**NORTH, "parent": "none"}, headers=key("a")).status_code == 422
    assert hq.post("/v1/orgs", json=NORTH, headers=key("a")).status_code == 201


def test_keys_of_two_people_do_not_meet(hq: TestClient, world: World) -> None:
    assert hq.post("/v1/orgs", json=NORTH, headers=key("a")).status_code == 201
    theirs = hq.post("/v1/orgs", json=NORTH, headers={**key("a"), **bearer(world, "hq@bravo")})
    assert (theirs.status_code, "Idempotency-Replayed" in theirs.headers) == (201, False)


def test_an_organisation_moves_but_never_below_itself(hq: TestClient) -> None:
    hq.post("/v1/orgs", json={**NORTH, "parent": "east", "kind": "store"}, headers=key("a"))
    brand = {"parent": "north", "kind": "brand", "name": "Brand"}
    ring = hq.put("/v1/orgs/brand", json=brand, headers={"If-Match": '"1"'})
    assert (ring.status_code, ring.json()["errors"][0]["where"]) == (422, "body.parent")
    moved = hq.put("/v1/orgs/north", json={**brand, "parent": "west"}, headers={"If-Match": '"1"'})
    assert (moved.status_code, moved.headers["ETag"], moved.json()["parent"]) == (200, '"2"', "west")
    assert hq.put("/v1/orgs/north", json=brand, headers={"If-Match": '"1"'}).status_code == 412


def test_a_dealer_sees_its_own_part_of_the_tree(hq: TestClient, world: World) -> None:
    hq.post("/v1/orgs", json={**NORTH, "parent": "east"}, headers=key("a"))
    dealer = bearer(world, "dealer@acme")
    assert [item["id"] for item in hq.get("/v1/orgs", headers=dealer).json()["items"]] == ["east", "north"]
    assert hq.get("/v1/orgs/west", headers=dealer).status_code == 404


def test_a_new_person_logs_in_until_disabled(hq: TestClient, world: World) -> None:
    made = hq.post("/v1/users", json=PERSON, headers=key("a"))
    assert made.status_code == 201, made.text
    headers = token_of(hq, "li@acme")
    assert hq.get("/v1/me", headers=headers).json()["sites"] == ["east-1"]
    path = made.headers["Location"]
    changed = {"role": "dealer", "org": "east", "name": "Li", "disabled": True}
    assert hq.put(path, json=changed, headers={"If-Match": '"1"'}).status_code == 200
    assert hq.get("/v1/me", headers=headers).status_code == 401
    assert hq.get(path, headers=bearer(world, "hq@bravo")).status_code == 404


def test_a_dealer_needs_an_organisation_and_a_login_is_taken_once(hq: TestClient) -> None:
    assert hq.post("/v1/users", json={**PERSON, "org": None}, headers=key("a")).status_code == 422
    assert hq.post("/v1/users", json={**PERSON, "login": "ops@bravo"}, headers=key("b")).status_code == 409


def test_somebody_of_headquarters_always_remains(hq: TestClient, world: World) -> None:
    with psycopg.connect(world.dsn) as connection:
        row = connection.execute("SELECT user_id FROM app_user WHERE login = 'hq@acme'").fetchone()
    assert row is not None
    body = {"role": "ops", "name": "HQ"}
    assert hq.put(f"/v1/users/{row[0]}", json=body, headers={"If-Match": '"1"'}).status_code == 409
    # Headquarters may stand at the organisation above all others; others are changed as before then.
    with psycopg.connect(world.dsn) as connection:
        connection.execute("UPDATE app_user SET org_id = 'brand' WHERE login = 'hq@acme'")
    made = hq.post("/v1/users", json=PERSON, headers=key("a")).json()
    changed = hq.put(
        f"/v1/users/{made['id']}",
        json={"role": PERSON["role"], "org": PERSON["org"], "name": "Li"},
        headers={"If-Match": '"1"'},
    )
    assert (changed.status_code, changed.json().get("name")) == (200, "Li")


def test_a_quota_stops_the_next_one(hq: TestClient, world: World) -> None:
    with psycopg.connect(world.dsn) as connection:
        connection.execute("INSERT INTO tenant_quota VALUES ('acme', 'orgs', 5)")
    assert hq.post("/v1/orgs", json=NORTH, headers=key("a")).status_code == 201
    refused = hq.post("/v1/orgs", json={**NORTH, "id": "south"}, headers=key("b"))
    assert (refused.status_code, "quota" in refused.json()["detail"]) == (403, True)


def test_a_key_that_may_only_read_changes_nothing_and_a_revoked_one_ends(hq: TestClient, world: World) -> None:
    made = hq.post("/v1/api-keys", json={"login": "ops@acme", "name": "reader", "scopes": ["read"]})
    assert made.status_code == 201, made.text
    reader = {"Authorization": f"Bearer {made.json()['key']}"}
    path = f"/v1/proposals/{world.acme.proposal}"
    assert hq.get(path, headers=reader).status_code == 200
    assert hq.post(f"{path}:approve", headers={**reader, "If-Match": '"1"'}).status_code == 403
    (shown,) = [item for item in hq.get("/v1/api-keys").json()["items"] if item["name"] == "reader"]
    assert "key" not in shown
    assert hq.post(f"/v1/api-keys/{shown['id']}:revoke").json()["revoked"] is not None
    assert hq.get(path, headers=reader).status_code == 401
    theirs = hq.post("/v1/api-keys", json={"login": "ops@bravo", "name": "spy"})
    assert theirs.status_code == 404


def test_the_audit_log_holds_what_succeeded_and_nothing_else(hq: TestClient, world: World) -> None:
    start = datetime.now(UTC)
    hq.post("/v1/orgs", json=NORTH, headers=key("a"))
    hq.post("/v1/orgs", json=NORTH, headers=key("b"))  # exists already
    ops = {"Authorization": f"Bearer {world.acme.key}", "If-Match": '"1"'}
    hq.post(f"/v1/proposals/{world.acme.proposal}:approve", headers=ops)
    entries = hq.get("/v1/audit-log", params={"from": start.isoformat()}).json()["items"]
    assert [(entry["action"], entry["login"], entry["by_key"] != "") for entry in entries] == [
        ("POST /v1/proposals/{proposal_id}:approve", "ops@acme", True),
        ("POST /v1/orgs", "hq@acme", False),
    ]
    assert entries[0]["subject"] == {"proposal_id": str(world.acme.proposal)}
    with psycopg.connect(world.dsn) as owner, pytest.raises(psycopg.errors.IntegrityError, match="only grows"):
        owner.execute("DELETE FROM audit_log")


def test_each_answer_says_how_much_may_still_be_asked(hq: TestClient) -> None:
    first, second = (hq.get("/v1/me").headers for _ in range(2))
    assert first["RateLimit-Policy"] == '"user";q=200;w=4'
    assert first["RateLimit"].startswith('"user";r=199;')
    assert second["RateLimit"].startswith('"user";r=19')
