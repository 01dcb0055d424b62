"""Dashboards and alert rules speak only of metrics that our processes have, and name help that exists."""

import json
import re
from pathlib import Path
from typing import Final

import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry

import deploy
from deploy.worker_metrics import Metrics
from platform_api.kit import metrics as api_metrics
from stream import metrics as stream_metrics

HOME: Final = Path(deploy.__file__).parent / "monitoring"
RUNBOOK: Final = Path(deploy.__file__).parent.parent / "docs" / "runbook.md"
METRIC: Final = re.compile(r"\bshelfpulse_[a-z_]+")
LABELS: Final = re.compile(r"(shelfpulse_[a-z_]+)\{([^}]*)\}|by \(([a-z_, ]+)\)")


def names_of(registry: CollectorRegistry) -> set[str]:
    names: set[str] = set()
    for family in registry.collect():
        names |= {sample.name for sample in family.samples}
        # Families with labels have no samples before their first use.
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
        names |= {family.name + suffix for suffix in suffixes}
    return names


@pytest.fixture(scope="module")
def known() -> set[str]:
    assert api_metrics.REQUESTS is not None
    return names_of(stream_metrics.REGISTRY) | names_of(REGISTRY) | names_of(Metrics().registry)


def alerts() -> list[dict[str, object]]:
    groups = yaml.safe_load((HOME / "rules.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    dashboard = json.loads((HOME / "grafana" / "dashboards" / "shelfpulse.json").read_text(encoding="utf-8"))
    drawn = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return drawn + [str(rule["expr"]) for rule in alerts()]


def test_every_metric_that_is_drawn_or_watched_exists(known: set[str]) -> None:
    spoken = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert len(spoken) > 15
    assert spoken - known == set()


def test_every_metric_of_the_promise_is_drawn() -> None:
    spoken = {name for expression in expressions() for name in METRIC.findall(expression)}
    promised = {name for name in names_of(stream_metrics.REGISTRY) if name.endswith("_total")}
    assert promised - spoken == {"shelfpulse_acks_total"}, "an ack says nothing that the commit does not"


def test_every_alert_names_help_that_is_there() -> None:
    headings = re.findall(r"^#+ (.+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for rule in alerts():
        annotations = rule["annotations"]
        assert isinstance(annotations, dict)
        path, _, anchor = annotations["runbook"].partition("#")
        assert path == "docs/runbook.md"
        assert anchor in anchors, rule["alert"]
        assert annotations["summary"]


def test_the_rules_are_mounted_where_the_configuration_looks() -> None:
    configuration = yaml.safe_load((HOME / "prometheus.yml").read_text(encoding="utf-8"))
    assert configuration["rule_files"] == ["rules.yml"]
    assert {job["job_name"] for job in configuration["scrape_configs"]} >= {"stream", "api", "worker"}
