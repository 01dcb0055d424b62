"""Every benchmark's JSON says on what it was measured, whatever its own result says."""

import importlib
import pkgutil

import msgspec
import pytest

import deploy.bench
from deploy.bench.main import with_surroundings

SURROUNDINGS = {"machine", "versions", "tier", "seed", "seconds"}
NAMED = {
    "e2e": {"readings_per_s", "copy_rows_per_s", "ratio", "messages_per_s", "readings_per_message", "latency_p50_ms",
            "latency_p99_ms", "cpu_s_per_million", "rss_peak_mib", "missing", "duplicates"},
    "edge": {"cpu_percent", "rss_mib", "requests_per_s", "naive_requests_per_s", "values_per_s", "outbox_frames_per_s",
             "sender_messages_per_s"},
    "detect": {"us_per_point", "bytes_per_series", "vector_readings_per_s"},
    "query": {"rows", "p50_ms", "p99_ms", "queries"},
    "api": {"rps", "p50_ms", "p99_ms", "errors", "ingest_ratio"},
    "live": {"viewers", "p99_ms", "cpu_percent"},
}  # fmt: skip


class Small(msgspec.Struct):
    ratio: float


class Complete(msgspec.Struct):
    tier: str
    seed: int
    seconds: float


def test_a_result_without_them_gets_its_surroundings() -> None:
    told = with_surroundings(Small(0.5), began_s=0.0)
    assert told.keys() == {"ratio"} | SURROUNDINGS
    assert told["tier"] == "none"
    assert told["seconds"] > 0
    assert told["versions"]["python"]


def test_what_a_result_says_itself_stays() -> None:
    told = with_surroundings(Complete("tsl", 7, 1.5))
    assert (told["tier"], told["seed"], told["seconds"]) == ("tsl", 7, 1.5)
    assert told["machine"]


@pytest.mark.parametrize("name", NAMED)
def test_the_figures_that_the_design_names_are_there(name: str) -> None:
    assert name in {module.name for module in pkgutil.iter_modules(deploy.bench.__path__)}
    module = importlib.import_module(f"deploy.bench.{name}")
    result = next(each for each in vars(module).values()
                  if isinstance(each, type) and issubclass(each, msgspec.Struct) and each.__name__.endswith("Result")
                  and each.__module__ == module.__name__)  # fmt: skip
    assert set(result.__struct_fields__) >= NAMED[name]
