"""The whole API against its own OpenAPI document, asked by Schemathesis as a stranger would."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from platform_api.kit import limits
from tests.integration.api import world as worlds
from tests.integration.api.conftest import bearer
from tests.integration.api.serving import serve
from tests.services.databases import Server, clone

HERE = Path(__file__).parent
PHASES = {"examples,coverage": 120, "fuzzing": 45, "stateful": 45}
"""What Schemathesis does, and the seconds for which it may: a slow machine asks less in them, and no longer."""
GRACE_S = 300


@pytest.fixture
def asked(postgres_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """Base URL of a server that counts no requests, and what headquarters send."""
    monkeypatch.setattr(limits, "REQUESTS_PER_S", 1e6)
    monkeypatch.setattr(limits, "REQUESTS_BURST", 10**6)
    with clone(postgres_server) as dsn:
        world = worlds.seed(dsn)
        with serve(dsn) as url:
            # Made once, and kept: Schemathesis waits ten seconds for it, and a busy machine may need more.
            headquarters = bearer(world, "hq@acme")
            document = httpx.get(f"{url}/openapi.json", headers=headquarters, timeout=GRACE_S)
            assert document.status_code == httpx.codes.OK
            yield url, headquarters["Authorization"]


@pytest.mark.timeout(2 * GRACE_S)
@pytest.mark.parametrize("phases", PHASES)
def test_every_answer_is_one_that_the_document_announces(asked: tuple[str, str], phases: str) -> None:
    url, authorization = asked
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")),
            *("run", f"{url}/openapi.json", "--header", f"Authorization: {authorization}", "--no-color"),
            *("--phases", phases, "--max-time", str(PHASES[phases])),
            *os.environ.get("SCHEMATHESIS_OPTIONS", "").split(),
        ],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.conformance.api.hooks"},
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        timeout=PHASES[phases] + GRACE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    # Otherwise it asked as nobody from some point on.
    assert httpx.get(f"{url}/v1/me", headers={"Authorization": authorization}).json()["role"] == "hq"
