from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from contracts.errors import UserError
from platform_api.app import create_app
from platform_api.kit.auth import ACCESS_COOKIE
from platform_api.kit.limits import LOGINS_BURST
from platform_api.tenancy import service
from platform_api.tenancy.rules import REUSE_LEEWAY
from platform_api.tenancy.sessions import REFRESH_COOKIE
from tests.integration.api.conftest import token_of
from tests.integration.api.serving import settings_for
from tests.integration.api.world import PASSWORD, World

ORIGIN = {"Origin": "http://testserver"}


def log_in(client: TestClient, password: str = PASSWORD) -> int:
    answer = client.post("/login", data={"login": "ops@acme", "password": password}, headers=ORIGIN)
    return int(answer.status_code)


def test_a_token_for_a_password_opens_the_api(anonymous: TestClient, world: World) -> None:
    me = anonymous.get("/v1/me", headers=token_of(anonymous, world.acme.ops)).json()
    assert (me["login"], me["tenant"], me["role"], me["sites"]) == ("ops@acme", "acme", "ops", None)


@pytest.mark.parametrize(
    ("login", "password"), [("ops@acme", "wrong"), ("nobody@acme", PASSWORD), ("ops@acme\x00", "x")]
)
def test_a_wrong_login_and_a_wrong_password_look_the_same(anonymous: TestClient, login: str, password: str) -> None:
    answer = anonymous.post("/v1/auth/token", json={"login": login, "password": password})
    assert answer.status_code == 401
    assert answer.json()["detail"] == "login or password is wrong"


def test_guessing_is_slowed_down(application: FastAPI, anonymous: TestClient) -> None:
    # Checking a password may take longer than it takes to earn the next attempt.
    application.state.limits._logins._per_s = 1e-3
    codes = {
        anonymous.post("/v1/auth/token", json={"login": "x1", "password": "x"}).status_code for _ in range(LOGINS_BURST)
    }
    assert codes == {401}
    refused = anonymous.post("/v1/auth/token", json={"login": "x1", "password": "x"})
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1


def test_a_page_session_is_out_of_reach_of_scripts_and_of_other_sites(anonymous: TestClient) -> None:
    answer = anonymous.post("/login", data={"login": "ops@acme", "password": PASSWORD}, headers=ORIGIN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookies = [cookie.lower() for cookie in answer.headers.get_list("set-cookie")]
    assert len(cookies) == 2
    assert all("httponly" in cookie and "samesite=lax" in cookie for cookie in cookies)
    assert "path=/session" in next(cookie for cookie in cookies if cookie.startswith(REFRESH_COOKIE))
    assert anonymous.get("/").status_code == 200


def test_where_browsers_come_by_https_no_cookie_goes_without_it_whatever_the_proxy_speaks(world: World) -> None:
    application = create_app(settings_for(world.dsn, public_url="https://shelfpulse.example"))
    with TestClient(application, raise_server_exceptions=False, follow_redirects=False) as client:
        form = {"login": "ops@acme", "password": PASSWORD}
        answers = [client.post("/login", data=form, headers=ORIGIN), client.get("/login?lang=zh")]
    for answer in answers:
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        cookies = answer.headers.get_list("set-cookie")
        assert cookies
        assert all("; secure" in cookie.lower() for cookie in cookies)


def test_a_form_posted_by_another_site_is_refused(anonymous: TestClient) -> None:
    for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        answer = anonymous.post("/login", data={"login": "ops@acme", "password": PASSWORD}, headers=headers)
        assert answer.status_code == 403, headers


def test_a_write_by_cookie_from_another_site_is_refused(anonymous: TestClient, world: World) -> None:
    log_in(anonymous)
    path = f"/v1/anomalies/{world.acme.anomaly}:acknowledge"
    for headers in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert anonymous.post(path, headers={"If-Match": '"1"', **headers}).status_code == 403
    assert anonymous.post(path, headers={"If-Match": '"1"', **ORIGIN}).status_code == 200


def test_a_wrong_password_shows_the_form_again(anonymous: TestClient) -> None:
    assert log_in(anonymous, "wrong") == 401
    assert ACCESS_COOKIE not in anonymous.cookies


def test_a_refresh_token_is_exchanged_and_the_old_one_becomes_worthless(anonymous: TestClient, world: World) -> None:
    log_in(anonymous)
    first = anonymous.cookies[REFRESH_COOKIE]
    assert anonymous.post("/session/refresh", headers=ORIGIN).status_code == 204
    second = anonymous.cookies[REFRESH_COOKIE]
    assert second != first
    with psycopg.connect(world.dsn) as connection:
        connection.execute("UPDATE refresh_token SET used_at = used_at - %s", (REUSE_LEEWAY * 2,))
    # The thief's copy: refused, and the family that it belongs to ends, the owner's token included.
    for stolen_or_owned in (first, second):
        anonymous.cookies.clear()
        anonymous.cookies.set(REFRESH_COOKIE, stolen_or_owned, path="/session")
        assert anonymous.post("/session/refresh", headers=ORIGIN).status_code == 401
    with psycopg.connect(world.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM refresh_token").fetchone() == (0,)


def test_a_page_without_a_valid_access_token_goes_on_by_its_refresh_token(anonymous: TestClient) -> None:
    log_in(anonymous)
    anonymous.cookies.delete(ACCESS_COOKIE)
    page = {"Accept": "text/html"}
    assert anonymous.get("/", headers=page).headers["location"] == "/session/resume"
    assert anonymous.get("/session/resume", headers=page).headers["location"] == "/"
    assert anonymous.get("/", headers=page).status_code == 200


@pytest.mark.parametrize("renewed", [True, False])
def test_a_person_gets_to_the_page_that_they_asked_for(anonymous: TestClient, *, renewed: bool) -> None:
    if renewed:
        log_in(anonymous)
        anonymous.cookies.delete(ACCESS_COOKIE)
    page = {"Accept": "text/html"}
    resume = anonymous.get("/stock?place=wh-1&kind=store", headers=page).headers["location"]
    assert resume == "/session/resume?to=%2Fstock%3Fplace%3Dwh-1%26kind%3Dstore"
    onward = anonymous.get(resume, headers=page).headers["location"]
    if not renewed:
        assert onward == resume.replace("/session/resume", "/login")
        form = anonymous.get(onward, headers=page).text
        assert 'name="to" value="/stock?place=wh-1&amp;kind=store"' in form
        fields = {"login": "ops@acme", "password": PASSWORD, "to": "/stock?place=wh-1&kind=store"}
        onward = anonymous.post("/login", data=fields, headers=ORIGIN).headers["location"]
    assert onward == "/stock?place=wh-1&kind=store"


@pytest.mark.parametrize(
    "to", ["https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example", "/session/resume", ""]
)
def test_nobody_is_led_to_another_host(anonymous: TestClient, to: str) -> None:
    fields = {"login": "ops@acme", "password": PASSWORD, "to": to}
    assert anonymous.post("/login", data=fields, headers=ORIGIN).headers["location"] == "/"
    assert anonymous.get("/session/resume", params={"to": to}).headers["location"] in {"/", "/login"}


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/nowhere", 404, "没有此页面"),
        ("/orders/abc", 422, "网址不完整"),
        (f"/orders/{UUID(int=1)}", 404, "没有此页面"),
    ],
)
def test_a_browser_is_told_of_a_failure_on_a_page(anonymous: TestClient, path: str, status: int, told: str) -> None:
    log_in(anonymous)
    answer = anonymous.get(path, headers={"Accept": "text/html", "Accept-Language": "zh-CN"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert told in answer.text
    assert 'href="/desk"' in answer.text
    assert anonymous.get(path).headers["content-type"] == "application/problem+json"


def test_logging_out_ends_the_session_on_the_server_too(anonymous: TestClient) -> None:
    log_in(anonymous)
    refresh = anonymous.cookies[REFRESH_COOKIE]
    assert anonymous.post("/session/end", headers=ORIGIN).headers["location"] == "/login"
    anonymous.cookies.set(REFRESH_COOKIE, refresh, path="/session")
    assert anonymous.post("/session/refresh", headers=ORIGIN).status_code == 401


def test_a_disabled_user_is_out_at_once(anonymous: TestClient, world: World) -> None:
    headers = token_of(anonymous, "audit@acme")
    assert anonymous.get("/v1/me", headers=headers).status_code == 200
    with psycopg.connect(world.dsn) as connection:
        connection.execute("UPDATE app_user SET disabled = true WHERE login = 'audit@acme'")
    assert anonymous.get("/v1/me", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "statement",
    ["UPDATE api_key SET revoked_at = now()", "UPDATE api_key SET expires_at = now() - interval '1 s'"],
)
def test_an_api_key_that_was_revoked_or_expired_opens_nothing(ops: TestClient, world: World, statement: str) -> None:
    assert ops.get("/v1/me").status_code == 200
    with psycopg.connect(world.dsn) as connection:
        connection.execute(statement.encode())
    assert ops.get("/v1/me").status_code == 401


def test_nothing_that_is_stored_gives_a_secret_away(world: World) -> None:
    with psycopg.connect(world.dsn) as connection:
        rows = connection.execute("SELECT row_to_json(u)::text FROM app_user u").fetchall()
        rows += connection.execute("SELECT row_to_json(k)::text FROM api_key k").fetchall()
    stored = " ".join(row[0] for row in rows)
    assert PASSWORD not in stored
    assert world.acme.key.split("_", 2)[2] not in stored
    assert "$argon2id$" in stored


def test_a_user_who_cannot_be_made_is_refused_in_words(world: World) -> None:
    with psycopg.connect(world.dsn) as connection:
        good = {"tenant_id": "acme", "login": "new@acme", "password": PASSWORD, "role": "ops"}
        for change, message in (
            ({"login": "ops@acme"}, "taken"),
            ({"tenant_id": "none"}, "no tenant"),
            ({"role": "king"}, "unknown role"),
            ({"password": "short"}, "at least"),
            ({"org_id": "none"}, "no organisation"),
            ({"login": "a b"}, "cannot be a login"),
        ):
            with pytest.raises(UserError, match=message):
                service.create_user(connection, **{**good, **change})
        service.create_user(connection, **good)


def test_a_key_may_have_an_end(world: World) -> None:
    with psycopg.connect(world.dsn) as connection:
        end = datetime.now(UTC) + timedelta(days=1)
        key = service.create_api_key(connection, login="ops@acme", name="short", expires_at=end)
        stored = connection.execute("SELECT expires_at FROM api_key WHERE name = 'short'").fetchone()
    assert key.startswith("spk_")
    assert stored == (end,)
