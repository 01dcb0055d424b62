"""Deployment descriptions that parse, refer to what is there, and start commands that exist."""

import configparser
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import cli
from deploy.access.entries import MosquittoSpelling
from deploy.access.main import PID_FILE

DEPLOY = Path(cli.__file__).parent
COMMANDS = {mount.name for mount in cli.MOUNTS} | {"up", "migrate"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "k8s" / "shelfpulse.yaml").read_text()))


def test_every_service_of_compose_has_an_image_and_known_dependencies(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert {"database", "broker", "access", "migrations", "stream", "api", "worker"} <= services.keys()
    for service in services.values():
        assert service["image"]
        assert set(service.get("depends_on", {})) <= services.keys()


def test_volumes_and_files_of_compose_are_there(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if not source.startswith("."):
                assert source in compose["volumes"]
            elif "/secrets" not in source:
                assert (DEPLOY / source).exists()


def test_prometheus_of_compose_scrapes_services_that_serve_metrics(compose: dict[str, Any]) -> None:
    scraped = yaml.safe_load((DEPLOY / "monitoring" / "prometheus.yml").read_text())["scrape_configs"]
    for target in (target for job in scraped for static in job["static_configs"] for target in static["targets"]):
        name, _, port = target.partition(":")
        environment = compose["services"][name]["environment"]
        assert environment["SHELFPULSE_METRICS_PORT"] == port
        assert environment["SHELFPULSE_METRICS_HOST"] == "0.0.0.0"  # noqa: S104 - within the compose network


def test_no_secret_has_a_default(compose: dict[str, Any]) -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    names = [part.partition("}")[0] for part in text.split("${")[1:]]
    assert names
    assert all(name.endswith(":?") for name in names)
    assert compose["services"]["api"]["ports"] == ["127.0.0.1:8080:8080"]


def test_every_container_starts_a_command_that_exists(compose: dict[str, Any], manifests: list[dict[str, Any]]) -> None:
    ours = [service for service in compose["services"].values() if service["image"].startswith("shelfpulse:")]
    started = [service["command"][0] for service in ours]
    for manifest in manifests:
        template = manifest["spec"].get("template", {}).get("spec", {"containers": []})
        containers = template["containers"] + template.get("initContainers", [])
        started += [container["args"][0] for container in containers if container["image"].startswith("shelfpulse:")]
    assert len(started) == 12
    assert set(started) <= COMMANDS


def test_what_keeps_the_brokers_users_shares_its_folder_processes_and_user(
    compose: dict[str, Any], manifests: list[dict[str, Any]]
) -> None:
    services = compose["services"]
    broker, access, files = services["broker"], services["access"], services["access-files"]
    assert access["pid"] == "service:broker"
    assert broker["user"] == access["user"] == files["user"]
    for service in (broker, access, files):
        assert "access:/access" in service["volumes"]
    assert access["environment"]["SHELFPULSE_ACCESS_DIR"] == "/access"
    assert access["environment"].items() >= services["worker"]["environment"].items()
    assert "access-files" in broker["depends_on"]

    pod = next(m for m in manifests if m["metadata"]["name"] == "shelfpulse-broker")["spec"]["template"]["spec"]
    assert pod["shareProcessNamespace"] is True
    for container in [*pod["containers"], *pod["initContainers"]]:
        assert {"name": "access", "mountPath": "/access"} in container["volumeMounts"]
    volumes = {volume["name"] for volume in pod["volumes"]} | {"data"}
    assert {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]} <= volumes


def test_the_broker_reads_what_access_writes() -> None:
    lines = (DEPLOY / "mosquitto" / "mosquitto.conf").read_text().splitlines()
    options = dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    written = MosquittoSpelling().files((), ())
    assert {Path(options["password_file"]).name, Path(options["acl_file"]).name} == set(written)
    assert options["pid_file"] == f"/access/{PID_FILE}"
    assert {Path(options[name]).parent for name in ("password_file", "acl_file")} == {Path("/access")}


def test_selectors_of_the_manifests_find_their_pods(manifests: list[dict[str, Any]]) -> None:
    kinds = [manifest["kind"] for manifest in manifests]
    assert kinds == ["Job", "StatefulSet", "StatefulSet", "Deployment", "Deployment", "Service", "Service", "Service"]
    pods = [m["spec"]["template"]["metadata"]["labels"] for m in manifests if "template" in m["spec"]]
    for manifest in manifests:
        selector = manifest["spec"].get("selector")
        if selector is not None:
            wanted = selector.get("matchLabels", selector)
            assert any(wanted.items() <= labels.items() for labels in pods)


def test_the_gateways_unit_starts_the_agent_and_restarts_it() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "systemd" / "shelfpulse-edge.service")
    assert "shelfpulse edge run --config" in unit["Service"]["ExecStart"]
    assert unit["Service"]["Restart"] == "always"
