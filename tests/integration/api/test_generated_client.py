"""The client that `make client` generates, against the process that `shelfpulse api run` is."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from deploy.local.deadline import wait_until
from deploy.local.ports import free_port
from platform_api.app import create_app
from tests.integration.api.serving import settings_for
from tests.integration.api.test_commands import RUN, answers
from tests.integration.api.world import PASSWORD, SECRET, World

ROOT = Path(__file__).parents[3]
STORY = Path(__file__).with_name("client_story.py")
PATIENCE_S = 300.0
LEFT_OUT = {
    "upload_v1_imports_post": "the generator knows no body of CSV",
    "write_image_v1_skus_sku_image_put": "… and none of a picture",
}
"""Operations without a function, and why."""


@dataclass(frozen=True)
class Generated:
    """A client: the Python that can run it, its folder, and the document that it was made from."""

    python: Path
    folder: Path
    document: dict[str, Any]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    home = tmp_path_factory.mktemp("client")
    document = create_app(settings_for("postgresql://")).openapi()
    (home / "openapi.json").write_text(json.dumps(document))
    run = subprocess.run(
        [ROOT / ".ci" / "make-client", home / "venv", home / "openapi.json", home / "client"],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return Generated(home / "venv" / "bin" / "python", home / "client", document)


@pytest.fixture
def process(world: World) -> Iterator[str]:
    """Base URL of a process that serves the seeded database."""
    port = free_port()
    environment = {**os.environ, "SHELFPULSE_DSN": world.dsn, "SHELFPULSE_SECRET": SECRET}
    with subprocess.Popen([*RUN, "--port", str(port)], env=environment, stderr=subprocess.DEVNULL) as running:
        try:
            assert wait_until(lambda: answers(port), PATIENCE_S)
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()


@pytest.mark.timeout(1_200)
def test_every_operation_has_a_function_or_a_reason_why_not(generated: Generated) -> None:
    operations = {
        re.sub("_+", "_", operation["operationId"])
        for path in generated.document["paths"].values()
        for operation in path.values()
    }
    functions = {file.stem for file in generated.folder.glob("shelfpulse_client/api/*/*.py")} - {"__init__"}
    assert len(operations) > 100
    assert functions == operations - LEFT_OUT.keys()


@pytest.mark.timeout(1_200)
def test_an_integrator_logs_in_walks_a_list_orders_once_and_is_told_of_a_conflict(
    generated: Generated, process: str, hq: TestClient, world: World
) -> None:
    sell_tea(hq, world)
    run = subprocess.run(
        [generated.python, STORY, process, PASSWORD],
        env={**os.environ, "PYTHONPATH": str(generated.folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["refused"] == 401
    assert told["orgs"] == ["brand", "east", "only-acme", "west"]
    assert told["pages"] == 2
    assert len(set(told["orders"])) == 1
    assert told["total"] == "120.00"
    assert told["conflict"] == [409, "there is an organisation east already"]


def sell_tea(hq: TestClient, world: World) -> None:
    """Make tea something that can be ordered from a warehouse: a case of ten for 60.00."""
    with psycopg.connect(world.dsn) as owner:
        owner.execute(
            """INSERT INTO site (tenant_id, site_id, org_id, kind, name)
               VALUES ('acme', 'wh', 'brand', 'warehouse', 'Warehouse')"""
        )
    tea = {"name_en": "Green tea", "unit_weight_g": 520, "packs": [{"uom": "case", "factor": 10}]}
    hq.put("/v1/skus/tea", json=tea, headers={"If-Match": '"1"'})
    price = {"sku": "tea", "uom": "case", "price": {"amount": "60.00", "currency": "CNY"}}
    prices = {"id": "all", "name": "All", "level": "default", "items": [price]}
    hq.post("/v1/price-lists", json=prices, headers={"Idempotency-Key": "prices"})
    hq.post("/v1/price-lists/all:publish", headers={"If-Match": '"1"'})
    assert hq.put("/v1/orgs/brand/entitlements", json={"skus": {"*": True}}).status_code == 200
