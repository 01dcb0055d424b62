"""``shelfpulse gateways``: invitations at the database, without HTTP."""

import json
import os
import subprocess
import sys

import psycopg

from platform_api.devices import service
from tests.integration.deploy.gateways import register


def gateways(dsn: str, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "deploy.cli", "gateways", *words]
    environ = {**os.environ, "SHELFPULSE_DSN": dsn}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_an_operator_invites_revokes_and_reinstates_a_gateway(database: str) -> None:
    register(database, "gw-1")
    invited = gateways(database, "invite", "gw-1", "--hours", "2", "--json")
    assert invited.returncode == 0, invited.stderr
    code = json.loads(invited.stdout)["code"]
    with psycopg.connect(database) as connection:
        assert service.redeem(connection, code=code, machine="0" * 64) is not None
    revoked = gateways(database, "revoke", "acme/gw-1", "--json")
    assert json.loads(revoked.stdout)["revoked_at"]
    refused = gateways(database, "invite", "gw-1")
    assert (refused.returncode, "reinstate" in refused.stderr) == (2, True)
    assert gateways(database, "reinstate", "gw-1").returncode == 0
    shown = gateways(database, "invite", "gw-1")
    assert "code" in shown.stdout


def test_a_gateway_is_named_with_its_tenant_where_it_is_not_the_only_one(database: str) -> None:
    register(database, "gw-1")
    register(database, "gw-1", tenant="bravo")
    for name, message in (("gw-9", "there is no gateway"), ("gw-1", "2 tenants"), ("cello/gw-1", "there is no")):
        result = gateways(database, "invite", name)
        assert result.returncode == 2
        assert message in result.stderr
    assert gateways(database, "invite", "bravo/gw-1").returncode == 0
