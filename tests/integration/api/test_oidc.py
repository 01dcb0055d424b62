"""Log-in by the word of a provider: one that nobody here wrote, and one that lies."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from contracts.errors import UserError
from deploy.local.ports import free_port
from platform_api.app import create_app
from platform_api.kit import db
from platform_api.kit.auth import ACCESS_COOKIE
from platform_api.tenancy import service
from platform_api.tenancy.oidc_routes import STATE_COOKIE
from tests.integration.api.conftest import bearer
from tests.integration.api.serving import settings_for
from tests.integration.api.world import World
from tests.services.identity_provider import CLIENT_ID, CLIENT_SECRET, Liar, consent, lie, new_key, run_provider

OPS = {"sub": "00u-ops", "email": "ops@acme", "email_verified": True}
DAY_S = 86_400


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """What the tests change is taken back, but for the audit log."""
    yield shared_world
    with psycopg.connect(shared_world.dsn) as connection:
        connection.execute(
            "DELETE FROM app_user WHERE lower(login) IN ('kei.lin@acme', 'ops@acme') AND password_hash IS NULL"
        )
        connection.execute("UPDATE app_user SET disabled = false")
        connection.execute("DELETE FROM oidc_identity")
        connection.execute("DELETE FROM oidc_attempt")


@contextmanager
def browser(world: World, issuer: str, **told: str) -> Iterator[TestClient]:
    """A browser of a platform that trusts the issuer for the tenant acme."""
    whole = {
        "oidc_issuer": issuer,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": CLIENT_SECRET,
        "oidc_tenant": "acme",
        "oidc_name": "Acme ID",
        "public_url": "http://localhost:8080",
    }
    with TestClient(
        create_app(settings_for(world.dsn, **{**whole, **told})), raise_server_exceptions=False, follow_redirects=False
    ) as client:
        yield client


@pytest.fixture
def liar() -> Iterator[Liar]:
    with lie() as provider:
        provider.person = dict(OPS)
        yield provider


@pytest.fixture
def client(world: World, liar: Liar) -> Iterator[TestClient]:
    with browser(world, liar.issuer) as client:
        yield client


def returned(client: TestClient) -> str:
    """Where the provider sends the browser, as a path of ours."""
    left = client.get("/login/oidc")
    assert left.status_code == 303, left.text
    parts = urlsplit(httpx.get(left.headers["location"], timeout=60).headers["location"])
    assert f"{parts.scheme}://{parts.netloc}" == "http://localhost:8080"
    return f"{parts.path}?{parts.query}"


def log_in(client: TestClient) -> str:
    """Where a log-in ends: '/' with a session, else /login with the fault."""
    answer = client.get(returned(client))
    assert answer.status_code == 303
    assert (ACCESS_COOKIE in answer.cookies) is (answer.headers["location"] == "/")
    return str(answer.headers["location"])


def test_a_provider_that_nobody_here_wrote_lets_a_user_in_also_with_a_new_key(world: World) -> None:
    port = free_port()
    people = {"ops": OPS, "stranger": {"email": "stranger@acme", "email_verified": True}}
    for _ in range(2):
        with run_provider(port, people) as issuer, browser(world, issuer, oidc_client_id="shelfpulse") as client:
            for subject, location in (("stranger", "/login?fault=unknown"), ("ops", "/")):
                begun = client.get("/login/oidc").headers["location"]
                parts = urlsplit(consent(begun, subject))
                ended = client.get(f"{parts.path}?{parts.query}")
                assert ended.headers["location"] == location
            assert client.get("/").status_code == 200
            assert client.get("/v1/me").json()["login"] == "ops@acme"


def test_a_session_of_a_provider_is_as_any_other(client: TestClient) -> None:
    assert log_in(client) == "/"
    assert client.get("/v1/me").json()["role"] == "ops"
    assert client.post("/session/refresh", headers={"Origin": "http://testserver"}).status_code == 204
    assert STATE_COOKIE not in client.cookies


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another attempt"},
        {"nonce": None},
        {"aud": "another client"},
        {"aud": None},
        {"aud": [CLIENT_ID, "another client"]},
        {"azp": "another client"},
        {"iss": "https://another.example"},
        {"iss": None},
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"iat": 9_999_999_999},
        {"sub": ""},
        {"sub": None},
        {"sub": 7},
        {"sub": "x" * 256},
    ],
    ids=str,
)
def test_a_token_that_is_not_for_us_for_now_and_for_this_attempt_opens_nothing(
    client: TestClient, liar: Liar, claims: dict[str, Any]
) -> None:
    liar.claims = claims
    assert log_in(client) == "/login?fault=provider"
    assert client.get("/v1/me").status_code == 401
    liar.claims = {}
    assert log_in(client) == "/"


def test_a_token_that_expired_a_while_ago_opens_nothing(client: TestClient, liar: Liar) -> None:
    now = int(time.time())
    liar.claims = {"iat": now - DAY_S, "exp": now - DAY_S + 300}
    assert log_in(client) == "/login?fault=provider"


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_token_that_anybody_can_sign_opens_nothing(client: TestClient, liar: Liar, algorithm: str) -> None:
    liar.algorithm = algorithm
    assert log_in(client) == "/login?fault=provider"


def test_a_secret_goes_in_the_form_where_the_provider_takes_it_there(client: TestClient, liar: Liar) -> None:
    liar.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"]}
    assert log_in(client) == "/"


def test_a_changed_key_is_fetched_and_one_that_was_taken_back_is_forgotten(client: TestClient, liar: Liar) -> None:
    assert log_in(client) == "/"
    old = liar.key
    liar.key, liar.kid = new_key(), "second"
    liar.published = {"second": liar.key}
    assert log_in(client) == "/"
    liar.key, liar.kid = old, "first"
    assert log_in(client) == "/login?fault=provider"
    # The name of the new key does not help the old one.
    liar.kid = "second"
    assert log_in(client) == "/login?fault=provider"


def test_keys_are_fetched_once_for_many(client: TestClient, liar: Liar) -> None:
    for _ in range(3):
        assert log_in(client) == "/"
    assert liar.asked.count("GET /jwks") == 1
    assert liar.asked.count("GET /.well-known/openid-configuration") == 1


def test_a_state_is_good_once(client: TestClient) -> None:
    back = returned(client)
    state = client.cookies[STATE_COOKIE]
    assert client.get(back).headers["location"] == "/"
    client.cookies.clear()
    client.cookies.set(STATE_COOKIE, state, path="/login/oidc")
    again = client.get(back)
    assert again.headers["location"] == "/login?fault=again"
    assert ACCESS_COOKIE not in again.cookies


def test_an_answer_that_another_browser_began_logs_nobody_in(client: TestClient) -> None:
    back = returned(client)
    client.cookies.clear()
    assert client.get(back).headers["location"] == "/login?fault=again"
    returned(client)
    assert client.get(back).headers["location"] == "/login?fault=again"


def test_an_attempt_ends_after_a_while(client: TestClient, world: World) -> None:
    back = returned(client)
    with psycopg.connect(world.dsn) as connection:
        connection.execute("UPDATE oidc_attempt SET expires_at = now()")
    assert client.get(back).headers["location"] == "/login?fault=again"


def test_a_code_of_another_attempt_is_worthless(client: TestClient, liar: Liar) -> None:
    stolen = parse_qs(urlsplit(returned(client)).query)["code"][0]
    own = returned(client)
    swapped = own.replace(parse_qs(urlsplit(own).query)["code"][0], stolen)
    assert client.get(swapped).headers["location"] == "/login?fault=provider"
    assert liar.asked.count("POST /token") == 1


def test_an_answer_of_another_issuer_is_refused_before_its_code_is_spent(client: TestClient, liar: Liar) -> None:
    back = returned(client)
    assert client.get(f"{back}&iss=https%3A%2F%2Fevil.example").headers["location"] == "/login?fault=provider"
    assert "POST /token" not in liar.asked
    back = returned(client)
    assert client.get(f"{back}&iss={liar.issuer}").headers["location"] == "/"


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://another.example"},
        {"token_endpoint": "http://broker.example/token"},
        {"jwks_uri": None},
        {"authorization_response_iss_parameter_supported": True},
    ],
    ids=lambda told: next(iter(told)),
)
def test_a_provider_that_publishes_something_else_is_not_asked(
    client: TestClient, liar: Liar, metadata: dict[str, Any]
) -> None:
    liar.metadata = metadata
    left = client.get("/login/oidc")
    if left.headers["location"] != "/login?fault=provider":
        parts = urlsplit(httpx.get(left.headers["location"], timeout=60).headers["location"])
        left = client.get(f"{parts.path}?{parts.query}")
    assert left.headers["location"] == "/login?fault=provider"
    assert client.get("/v1/me").status_code == 401


def test_a_declined_log_in_and_a_provider_that_is_away_are_told(client: TestClient, world: World) -> None:
    state = parse_qs(urlsplit(returned(client)).query)["state"][0]
    declined = client.get("/login/oidc/callback", params={"state": state, "error": "access_denied"})
    assert declined.headers["location"] == "/login?fault=provider"
    assert "did not confirm" in client.get("/login?fault=provider").text
    with browser(world, f"http://127.0.0.1:{free_port()}") as lost:
        assert lost.get("/login/oidc").headers["location"] == "/login?fault=provider"


@pytest.mark.parametrize(
    "person",
    [
        {"email": "nobody@acme", "email_verified": True},
        {"email": "ops@acme", "email_verified": False},
        {"email": "ops@acme", "email_verified": "true"},
        {"email": "ops@acme"},
        {"email": ["ops@acme"], "email_verified": True},
        {"email": "ops@bravo", "email_verified": True},
        {},
    ],
    ids=str,
)
def test_who_is_no_user_of_the_tenant_with_a_verified_address_stays_out_and_nobody_is_made(
    client: TestClient, liar: Liar, world: World, person: dict[str, Any]
) -> None:
    liar.person = {"sub": "00u-x", **person}
    with psycopg.connect(world.dsn) as connection:
        before = connection.execute("SELECT count(*) FROM app_user").fetchone()
        assert log_in(client) == "/login?fault=unknown"
        assert connection.execute("SELECT count(*) FROM app_user").fetchone() == before
        assert connection.execute("SELECT count(*) FROM oidc_identity").fetchone() == (0,)
    assert "no account" in client.get("/login?fault=unknown").text


def test_the_address_may_come_from_userinfo_if_it_tells_of_the_same_person(client: TestClient, liar: Liar) -> None:
    liar.person = {"sub": "00u-ops"}
    liar.user_info = {**OPS, "sub": "somebody else"}
    assert log_in(client) == "/login?fault=provider"
    liar.user_info = dict(OPS)
    assert log_in(client) == "/"


def test_a_subject_stays_the_same_user_and_an_address_given_to_somebody_else_does_not(
    client: TestClient, liar: Liar, world: World
) -> None:
    assert log_in(client) == "/"
    liar.person = {"sub": "00u-ops", "email": "married@elsewhere.example", "email_verified": True}
    assert log_in(client) == "/"
    liar.person = {**OPS, "sub": "00u-successor"}
    assert log_in(client) == "/login?fault=unknown"
    head = bearer(world, "hq@acme")
    with psycopg.connect(world.dsn) as connection:
        row = connection.execute("SELECT user_id FROM app_user WHERE login = 'ops@acme'").fetchone()
    assert row is not None
    client.cookies.clear()
    assert client.post(f"/v1/users/{row[0]}:unlink", headers=head).json()["login"] == "ops@acme"
    assert log_in(client) == "/"
    noted = client.get("/v1/audit-log?limit=3", headers=head).json()["items"]
    assert [(entry["action"], entry["subject"].get("subject")) for entry in noted] == [
        ("GET /login/oidc/callback", "00u-successor"),
        ("POST /v1/users/{user_id}:unlink", None),
        ("GET /login/oidc/callback", "00u-ops"),
    ]


def test_a_disabled_user_stays_out(client: TestClient, world: World) -> None:
    assert log_in(client) == "/"
    with psycopg.connect(world.dsn) as connection:
        connection.execute("UPDATE app_user SET disabled = true WHERE login = 'ops@acme'")
    client.cookies.clear()
    assert log_in(client) == "/login?fault=unknown"


def test_a_user_without_a_password_comes_by_the_provider_alone(client: TestClient, liar: Liar, world: World) -> None:
    body = {"login": "Kei.Lin@acme", "role": "ops", "name": "Lin Kei"}
    made = client.post("/v1/users", json=body, headers={**bearer(world, "hq@acme"), "Idempotency-Key": "kei"})
    assert made.status_code == 201, made.text
    for password in ("", "None", "null"):
        form = {"login": "Kei.Lin@acme", "password": password}
        assert client.post("/login", data=form, headers={"Origin": "http://testserver"}).status_code == 401
    # A letter that PostgreSQL makes a k of is another one at the provider.
    liar.person = {"sub": "00u-other", "email": "kei.lin@acme".replace("k", "\u212a"), "email_verified": True}
    assert log_in(client) == "/login?fault=unknown"
    liar.person = {"sub": "00u-kei", "email": "kei.lin@acme", "email_verified": True}
    assert log_in(client) == "/"
    assert client.get("/v1/me").json()["login"] == "Kei.Lin@acme"


def test_two_users_whose_logins_differ_in_their_case_alone_are_not_guessed_between(
    client: TestClient, world: World
) -> None:
    with psycopg.connect(world.dsn) as connection:
        service.create_user(connection, tenant_id="acme", login="OPS@acme", password=None, role="hq")
    assert log_in(client) == "/login?fault=unknown"


def test_a_log_in_waits_for_a_connection_in_the_queue_of_all_requests(
    world: World, liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    with browser(world, liar.issuer, pool_max="1") as client:
        back = returned(client)
        application = client.app
        assert isinstance(application, FastAPI)
        turns = application.state.turns
        assert client.portal is not None
        with client.portal.wrap_async_context_manager(turns.take()), monkeypatch.context() as patched:
            patched.setattr(db, "POOL_QUEUE_MAX", 0)
            assert [client.get(path).status_code for path in ("/login/oidc", back, "/healthz")] == [503, 503, 503]
        assert client.get(back).headers["location"] == "/"


def test_nothing_that_is_kept_of_an_attempt_is_its_state(client: TestClient, world: World) -> None:
    state = parse_qs(urlsplit(returned(client)).query)["state"][0]
    with psycopg.connect(world.dsn) as connection:
        rows = connection.execute("SELECT row_to_json(a)::text FROM oidc_attempt a").fetchall()
    assert len(rows) == 1
    assert state not in rows[0][0]


def test_the_button_is_there_when_a_provider_is_configured_and_only_then(
    client: TestClient, anonymous: TestClient
) -> None:
    assert "Log in with Acme ID" in client.get("/login").text
    assert "通过 Acme ID 登录" in client.get("/login", headers={"Accept-Language": "zh"}).text
    assert "/login/oidc" not in anonymous.get("/login").text
    for path in ("/login/oidc", "/login/oidc/callback?state=x&code=y"):
        assert anonymous.get(path).status_code == 404


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ({"oidc_tenant": ""}, "SHELFPULSE_OIDC_TENANT"),
        ({"oidc_client_id": ""}, "SHELFPULSE_OIDC_CLIENT_ID"),
        ({"public_url": ""}, "SHELFPULSE_PUBLIC_URL"),
        ({"public_url": "http://shelfpulse.example"}, "HTTPS"),
        ({"oidc_issuer": "http://id.example"}, "HTTPS"),
    ],
)
def test_half_a_configuration_is_refused_on_start(told: dict[str, str], fault: str) -> None:
    whole = {
        "oidc_issuer": "https://id.example",
        "oidc_client_id": CLIENT_ID,
        "oidc_tenant": "acme",
        "public_url": "https://shelfpulse.example",
    }
    assert settings_for("postgresql://localhost/none", **whole).provider() is not None
    with pytest.raises(UserError) as refused:
        settings_for("postgresql://localhost/none", **{**whole, **told}).provider()
    assert fault in f"{refused.value.message} {refused.value}"
