"""The doctor on gateways and lanes: each trouble planted, found, and told with its remedy."""

import pytest

from deploy.doctor import fleet
from deploy.doctor.finding import Finding, Level
from stream import storage

REGISTRY = """
INSERT INTO tenant VALUES ('acme', 'Acme');
INSERT INTO site (tenant_id, site_id, name) VALUES ('acme', 'n', 'N');
INSERT INTO gateway (tenant_id, gateway_id, site_id) VALUES ('acme', 'gw', 'n'), ('acme', 'bare', 'n');
INSERT INTO gateway_presence (tenant_id, gateway_id, state, since, utc, sent) VALUES
    ('acme', 'gw', 'online', now() - interval '1 hour', now(), '{"tel": {"ep": "k3v9", "seq": 50, "digest": "0"}}');
INSERT INTO ingest_watermark (tenant_id, gateway_id, lane, ep, seq) VALUES ('acme', 'gw', 'tel', 'k3v9', 50);
"""
GAP = "INSERT INTO ingest_gap VALUES ('acme', 'gw', 'tel', 'k3v9', 11, 20, '{reason}')"
FAULT = """
INSERT INTO anomaly (anomaly_id, tenant_id, site_id, gateway_id, kind, place_kind, place, start_at, detected_at,
                     severity, score, evidence)
VALUES (gen_random_uuid(), 'acme', 'n', 'gw', 'device_fault', 'gateway', 'gw', now(), now(), 1, 1,
        '{"why": "two_agents"}')
"""
BEHIND = """
UPDATE gateway_presence SET sent = jsonb_set(sent, '{tel,seq}', '90');
UPDATE ingest_watermark SET updated_at = now() - interval '4 minutes'
"""
UNSYNCED = """
INSERT INTO unsynced_frame (tenant_id, gateway_id, lane, ep, seq, boot, received_at, topic, payload)
VALUES ('acme', 'gw', 'tel', 'k3v9', 50, 'b00t', now() - interval '2 hours', 't', '')
"""
UNREAD = """
INSERT INTO sku (tenant_id, sku, unit_weight_g) VALUES ('acme', 'cola', 330);
INSERT INTO sales_offset VALUES ('00-31', 2), ('00-63', 1);
INSERT INTO pos_sale (tenant, site, sku, units, sold_at, receipt, line, received_at)
SELECT 'acme', 'n', 'cola', 1, now(), 'r', n, now() - interval '9 minutes' FROM generate_series(1, 3) AS n
"""
CREDENTIAL = """
INSERT INTO claim (claim_id, tenant_id, gateway_id, code_hash, expires_at)
VALUES ('01890000-0000-7000-8000-000000000001', 'acme', 'gw', '\\x00', now());
INSERT INTO credential (credential_id, tenant_id, gateway_id, claim_id, machine, pbkdf2, bcrypt)
VALUES (gen_random_uuid(), 'acme', 'gw', '01890000-0000-7000-8000-000000000001', '', '', '')
"""


@pytest.fixture
def registered(database: str) -> str:
    """A database with a gateway that is well."""
    plant(database, REGISTRY)
    return database


def plant(dsn: str, statements: str) -> None:
    with storage.connect(dsn, application="tests") as connection:
        connection.execute(statements.encode())


def findings(dsn: str) -> dict[str, Finding]:
    with storage.connect(dsn, application="tests") as connection:
        return {finding.check: finding for finding in fleet.check(connection)}


def test_a_fleet_that_is_well_has_no_remedies(registered: str) -> None:
    assert {name: found.what for name, found in findings(registered).items() if found.level is not Level.OK} == {}


@pytest.mark.parametrize(
    ("trouble", "check", "level", "said"),
    [
        (GAP.format(reason="evicted"), "declared gaps", Level.WARN, "10 frames evicted at 1 gateways"),
        (GAP.format(reason="released"), "declared gaps", Level.FAIL, "10 frames released"),
        (BEHIND, "lanes", Level.FAIL, "acme/gw tel (40 frames)"),
        (
            "UPDATE ingest_watermark SET updated_at = now() - interval '4 minutes'",
            "commits",
            Level.WARN,
            "an online gateway was 2",
        ),
        ("UPDATE gateway_presence SET utc = now() - interval '1 hour'", "gateway clocks", Level.WARN, "acme/gw -3,"),
        (FAULT, "gateway faults", Level.FAIL, "1 two_agents, at acme/gw for one"),
        (UNSYNCED, "frames without a clock", Level.WARN, "1 of 1 gateways wait for their clock, the first for 2.0 h"),
        (UNREAD, "sales of tills", Level.WARN, "1 are not read, the first for 9 min"),
        (CREDENTIAL, "credentials", Level.WARN, "1 gateways have none of their own, acme/bare"),
    ],
)
def test_a_trouble_is_found_and_told_with_its_remedy(
    registered: str, trouble: str, check: str, level: Level, said: str
) -> None:
    plant(registered, trouble)
    found = findings(registered)[check]
    assert (found.level, said in found.what) == (level, True), found
    assert found.remedy


def test_a_lane_that_is_behind_and_moves_is_not_stuck(registered: str) -> None:
    plant(registered, "UPDATE gateway_presence SET sent = jsonb_set(sent, '{tel,seq}', '90')")
    assert findings(registered)["lanes"].level is Level.OK
