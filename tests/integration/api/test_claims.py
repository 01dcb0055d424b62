import hashlib
import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest
from fastapi.testclient import TestClient

from contracts.provision import CODE_PATTERN, Provision
from platform_api.devices import secrets
from platform_api.kit.limits import REDEEMS_BURST
from tests.integration.api.conftest import token_of
from tests.integration.api.serving import BROKER_URL
from tests.integration.api.world import World

GATEWAY = "gw-east-1"
INVITE = f"/v1/gateways/{GATEWAY}:invite"
REVOKE = f"/v1/gateways/{GATEWAY}:revoke"
REDEEM = "/v1/claims:redeem"


def machine(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def invited(ops: TestClient) -> str:
    answer = ops.post(INVITE)
    assert answer.status_code == 201, answer.text
    code: str = answer.json()["code"]
    return code


def redeemed(ops: TestClient, code: str, name: str = "till-1") -> httpx.Response:
    answer: httpx.Response = ops.post(REDEEM, json={"code": code, "machine": machine(name), "agent": "0.3.1"})
    return answer


def credential(world: World) -> tuple[str, str]:
    with psycopg.connect(world.dsn) as connection:
        row = connection.execute(
            "SELECT pbkdf2, bcrypt FROM credential WHERE tenant_id = 'acme' AND revoked_at IS NULL"
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def expire(world: World) -> None:
    with psycopg.connect(world.dsn) as connection:
        connection.execute("UPDATE claim SET expires_at = now() - interval '1 second'")


def state_of(ops: TestClient) -> str:
    state: str = ops.get(f"/v1/gateways/{GATEWAY}").json()["credential"]["state"]
    return state


def test_a_code_becomes_a_credential_of_which_only_hashes_are_stored(ops: TestClient, world: World) -> None:
    code = invited(ops)
    assert re.match(CODE_PATTERN, code)
    assert state_of(ops) == "invited"
    answer = redeemed(ops, code)
    assert answer.status_code == 200
    given = Provision(**answer.json())
    assert (given.tenant, given.site, given.gateway, given.username) == ("acme", "east-1", GATEWAY, f"acme/{GATEWAY}")
    assert given.broker_url == BROKER_URL
    assert state_of(ops) == "live"
    pbkdf2, bcrypt = credential(world)
    assert secrets.is_secret_of(given.secret, pbkdf2)
    assert not secrets.is_secret_of(given.secret + "x", pbkdf2)
    assert (pbkdf2[:3], bcrypt[:7]) == ("$7$", "$2a$04$")
    with psycopg.connect(world.dsn) as connection:
        for query in ("SELECT * FROM claim", "SELECT * FROM credential"):
            rows = str(connection.execute(query.encode()).fetchall())
            assert given.secret not in rows
            assert code not in rows


def test_of_twenty_machines_that_redeem_one_code_at_once_one_wins(ops: TestClient, world: World, server: str) -> None:
    code = invited(ops)

    def redeem(number: int) -> int:
        # Each from an address of its own, as a proxy tells it: this is about the race, not about the limit.
        headers = {"X-Forwarded-For": f"192.0.2.{number}"}
        body = {"code": code, "machine": machine(str(number))}
        return httpx.post(f"{server}{REDEEM}", json=body, headers=headers, timeout=30).status_code

    with ThreadPoolExecutor(20) as threads:
        codes = sorted(threads.map(redeem, range(20)))
    assert codes == [200] + [403] * 19
    assert credential(world)
    with psycopg.connect(world.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM credential").fetchone() == (1,)


def test_the_machine_that_redeemed_a_code_may_do_so_again_and_gets_a_new_secret(ops: TestClient, world: World) -> None:
    code = invited(ops)
    first, second = redeemed(ops, code).json()["secret"], redeemed(ops, code).json()["secret"]
    assert first != second
    pbkdf2, _ = credential(world)
    assert secrets.is_secret_of(second, pbkdf2)
    assert redeemed(ops, code, "another").status_code == 403
    with psycopg.connect(world.dsn) as connection:
        connection.execute("UPDATE claim SET used_at = used_at - interval '11 minutes'")
    assert redeemed(ops, code).status_code == 403


def test_unknown_used_expired_and_replaced_codes_are_answered_alike(ops: TestClient, world: World) -> None:
    used = invited(ops)
    redeemed(ops, used)
    replaced = invited(ops)
    expired = invited(ops)
    expire(world)
    answers = [
        redeemed(ops, secrets.new_code()),
        redeemed(ops, used, "another"),
        redeemed(ops, replaced),
        redeemed(ops, expired),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.text for answer in answers}) == 1


def test_an_address_that_guesses_is_slowed_down(ops: TestClient) -> None:
    codes = [redeemed(ops, secrets.new_code()) for _ in range(REDEEMS_BURST + 1)]
    assert {answer.status_code for answer in codes[:-1]} == {403}
    assert codes[-1].status_code == 429
    assert int(codes[-1].headers["Retry-After"]) >= 1


@pytest.mark.parametrize("code", ["", "7KZ3M", "7kz3m-2q9xa-0bcde-fghjk", "ILOU0-00000-00000-00000", "0" * 5_000])
def test_text_that_is_no_code_is_told_so(ops: TestClient, code: str) -> None:
    assert redeemed(ops, code).status_code == 422


def test_a_new_code_rotates_the_secret_once_it_is_redeemed(ops: TestClient, world: World) -> None:
    first = redeemed(ops, invited(ops)).json()["secret"]
    code = invited(ops)
    assert secrets.is_secret_of(first, credential(world)[0])
    second = redeemed(ops, code, "new till").json()["secret"]
    assert secrets.is_secret_of(second, credential(world)[0])


def test_a_revoked_gateway_loses_credential_and_codes_and_comes_back_by_a_new_code_only(
    ops: TestClient, world: World
) -> None:
    used = invited(ops)
    redeemed(ops, used)
    waiting = invited(ops)
    with psycopg.connect(world.dsn, autocommit=True) as listener:
        for channel in ("shelfpulse_access", "shelfpulse_control"):
            listener.execute(f"LISTEN {channel}".encode())
        answer = ops.post(REVOKE)
        assert (answer.status_code, answer.json()["credential"]["state"]) == (200, "revoked")
        heard = {(notice.channel, notice.payload) for notice in listener.notifies(timeout=10, stop_after=2)}
    assert ("shelfpulse_access", "credential") in heard
    since = answer.json()["revoked_at"]
    assert ops.post(REVOKE).json()["revoked_at"] == since
    assert ops.post(INVITE).status_code == 409
    assert redeemed(ops, waiting).status_code == 403
    back = ops.post(f"/v1/gateways/{GATEWAY}:reinstate").json()
    assert (back["revoked_at"], back["credential"]["state"]) == (None, "revoked")
    assert redeemed(ops, used).status_code == 403
    assert redeemed(ops, waiting).status_code == 403
    assert redeemed(ops, invited(ops)).status_code == 200


def test_claims_are_listed_with_their_states_and_without_their_codes(ops: TestClient) -> None:
    code = invited(ops)
    redeemed(ops, code)
    waiting = invited(ops)
    listed = ops.get(f"/v1/gateways/{GATEWAY}/claims")
    assert [claim["state"] for claim in listed.json()["items"]] == ["open", "used"]
    assert listed.json()["items"][1]["used_machine"] == machine("till-1")
    assert code not in listed.text
    assert waiting not in listed.text
    page = ops.get(f"/v1/gateways/{GATEWAY}/claims", params={"limit": 1}).json()
    rest = ops.get(f"/v1/gateways/{GATEWAY}/claims", params={"limit": 1, "cursor": page["next"]}).json()
    assert page["items"] + rest["items"] == listed.json()["items"]


def test_only_headquarters_and_operations_let_gateways_in_and_out(anonymous: TestClient, world: World) -> None:
    for login in ("audit@acme", "dealer@acme"):
        headers = token_of(anonymous, login)
        for path in (INVITE, REVOKE, f"/v1/gateways/{GATEWAY}:reinstate"):
            assert anonymous.post(path, headers=headers).status_code == 403, (login, path)
    dealer = token_of(anonymous, "dealer@acme")
    assert anonymous.get(f"/v1/gateways/{GATEWAY}/claims", headers=dealer).status_code == 200
    assert anonymous.get("/v1/gateways/gw-west-1/claims", headers=dealer).status_code == 404
    assert world.acme.gateway not in anonymous.get("/v1/gateways", headers=dealer).text
