"""The doctor on real services: well when they are, and exact about what we break."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.doctor import app, broker, database, machine
from deploy.doctor.database import check_transactions
from deploy.doctor.finding import Finding, Level
from deploy.local.broker import BrokerKind
from deploy.local.discovery import StackInfo
from stream import jobs, storage
from stream.storage import Tier
from tests.services.brokers import BrokerHandle


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def execute(dsn: str, statement: str, *parameters: object) -> None:
    with storage.connect(dsn, application="tests") as connection:
        connection.execute(statement.encode(), parameters)


def test_a_migrated_database_is_well(database_with_days: str) -> None:
    findings = by_check(list(database.check(database_with_days)))
    wrong = {name for name, finding in findings.items() if finding.level is not Level.OK}
    # The server of the tests gives durability up for speed, and the doctor has to see it.
    assert wrong == {"database fsync", "database full_page_writes"}
    assert findings["database fsync"].level is Level.FAIL


@pytest.fixture
def database_with_days(database: str) -> str:
    """A migrated database whose worker has made the days ahead."""
    with storage.connect(database, application="tests") as connection:
        jobs.extend_partitions(connection, Tier.PLAIN, datetime.now(UTC))
    return database


@pytest.mark.parametrize(
    ("plant", "check", "level", "said"),
    [
        ("UPDATE alembic_version SET version_num = '0000'", "schema", Level.FAIL, "revision 0000"),
        ("UPDATE storage_state SET tier = 'tsl'", "storage tier", Level.FAIL, "made as tsl, the server offers plain"),
        (
            "INSERT INTO rollup_dirty (lo, hi) SELECT now(), now() FROM generate_series(1, 601)",
            "rollups",
            Level.WARN,
            "601 ranges",
        ),
        (
            (
                "INSERT INTO quarantine (topic, reason, detail, payload, payload_bytes)"
                " SELECT 't', 'bad_json', '', '', 0 FROM generate_series(1, 3)"
            ),
            "quarantine",
            Level.WARN,
            "3 bad_json",
        ),
    ],
)
def test_what_is_wrong_in_the_database_is_found(
    database_with_days: str, plant: str, check: str, level: Level, said: str
) -> None:
    execute(database_with_days, plant)
    finding = by_check(list(database.check(database_with_days)))[check]
    assert finding.level is level
    assert said in finding.what
    assert finding.remedy


def test_a_transaction_that_writes_and_does_not_end_is_named(database: str) -> None:
    with storage.connect(database, application="forgotten", autocommit=False) as writing:
        writing.execute(b"CREATE TABLE left_open ()")
        with storage.connect(database, application="tests") as connection:
            found = check_transactions(connection, timedelta(0))
            assert "(forgotten) for 0 min" in found.what
            assert (found.level, bool(found.remedy)) == (Level.WARN, True)
            writing.rollback()
            assert "forgotten" not in check_transactions(connection, timedelta(0)).what


def test_a_missing_day_is_found(database: str) -> None:
    assert by_check(list(_checks_of(database)))["partitions"].level is Level.WARN


def _checks_of(dsn: str) -> list[Finding]:
    return list(database.check(dsn))


def test_silent_gateways_are_named_and_revoked_ones_are_not(database_with_days: str) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    execute(database_with_days, "INSERT INTO tenant VALUES ('acme', 'Acme')")
    execute(database_with_days, "INSERT INTO site (tenant_id, site_id, name) VALUES ('acme', 'n', 'N')")
    for name, created_at, revoked_at in (("old", long_ago, None), ("new", None, None), ("gone", long_ago, long_ago)):
        execute(
            database_with_days,
            "INSERT INTO gateway (tenant_id, gateway_id, site_id, created_at, revoked_at)"
            " VALUES ('acme', %s, 'n', coalesce(%s, now()), %s)",
            name, created_at, revoked_at,
        )  # fmt: skip
    found = by_check(_checks_of(database_with_days))["gateways"]
    assert found.level is Level.WARN
    assert "acme/old (never seen" in found.what
    assert "new" not in found.what
    assert "gone" not in found.what


def test_a_gateway_that_committed_lately_is_not_silent(database_with_days: str) -> None:
    test_silent_gateways_are_named_and_revoked_ones_are_not(database_with_days)
    execute(
        database_with_days,
        "INSERT INTO ingest_watermark (tenant_id, gateway_id, lane, ep, seq) VALUES ('acme', 'old', 'tel', 'ep01', 1)",
    )
    assert by_check(_checks_of(database_with_days))["gateways"].level is Level.OK


def test_a_database_that_is_away_is_one_finding_with_a_remedy() -> None:
    (finding,) = _checks_of("postgresql://nobody:secret@127.0.0.1:1/none")
    assert finding.level is Level.FAIL
    assert "shelfpulse up" in finding.remedy
    assert "secret" not in finding.what


def test_the_broker_of_the_local_stack_is_well(any_broker: BrokerHandle) -> None:
    findings = by_check(list(broker.check(any_broker.url)))
    # NATS speaks MQTT 3.1.1 alone: it is looked at as far as that goes.
    assert {name for name, finding in findings.items() if finding.level is Level.FAIL} == set()
    assert findings["anonymous clients"].level is Level.OK
    assert findings["broker queue"].level is Level.OK, findings["broker queue"].what
    if any_broker.kind is BrokerKind.MOSQUITTO:
        assert {finding.level for finding in findings.values()} == {Level.OK}


def test_a_wrong_password_is_told(any_broker: BrokerHandle) -> None:
    scheme, rest = any_broker.url.split("://")
    (finding,) = broker.check(f"{scheme}://platform:wrong@{rest.partition('@')[2]}")
    assert finding.level is Level.FAIL
    assert "refuses platform" in finding.what


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "mqtt://h:port", ""])
def test_an_address_that_is_none_is_told(url: str) -> None:
    (finding,) = broker.check(url)
    assert finding.level is Level.FAIL
    assert "mqtt://user:password@host" in finding.remedy


def test_a_process_that_is_gone_is_told() -> None:
    stack = StackInfo(
        dsn="", mqtt_url="", device_mqtt_url="", api_url="", secret="", started_at="",
        pids={"up": os.getpid(), "stream": 2**22 - 1}, metrics={"stream": 1},
    )  # fmt: skip
    findings = by_check(list(machine.check_processes(stack)))
    assert findings["process up"].level is Level.OK
    assert findings["process stream"].level is Level.FAIL


def test_without_a_stack_the_command_says_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHELFPULSE_DSN", "MQTT_URL", "SHELFPULSE_MQTT_URL"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(app, ["--json", "--state", str(tmp_path)])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["ok"] is False
    assert any(finding["check"] == "stack" and "shelfpulse up" in finding["remedy"] for finding in report["findings"])
