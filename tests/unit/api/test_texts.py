import ast
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

import stream
from contracts.facts import AnomalyKind
from contracts.frames import EventKind
from platform_api import pages
from platform_api.pages.rendering import data_block
from platform_api.pages.texts import LANGUAGES, SCRIPT_TEXTS, negotiate, script_texts

HERE = Path(pages.__file__).parent
PLACEHOLDER = re.compile(r"\{\w+\}")


def used_texts() -> set[str]:
    methods = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
    found = extract_from_dir(HERE, method_map=methods, options_map={}, keywords={"_": None, "N_": None})
    return {text for _, _, text, _, _ in found if isinstance(text, str)}


def test_every_text_of_the_pages_is_translated_and_none_is_left_over() -> None:
    with (HERE / "locales" / "zh.po").open("rb") as source:
        catalogue = {message.id: message.string for message in read_po(source, locale="zh") if message.id}
    assert used_texts() == set(catalogue)
    assert [text for text, chinese in catalogue.items() if not chinese] == []
    for text, chinese in catalogue.items():
        assert set(PLACEHOLDER.findall(str(text))) == set(PLACEHOLDER.findall(str(chinese))), text


def test_every_kind_that_the_page_may_show_has_a_name() -> None:
    assert {*AnomalyKind, *EventKind} <= SCRIPT_TEXTS.keys()
    assert script_texts("zh")["cold_chain"] == "冷链超温"


def test_every_fact_that_an_anomaly_or_a_proposal_may_tell_has_a_name() -> None:
    told = {
        name for file in Path(stream.__file__).parent.rglob("*.py") for name in facts_in(ast.parse(file.read_text()))
    }
    assert {"silent_s", "peak_c", "units", "peak", "on_hand", "ahead_s"} <= told  # found at all
    assert told <= SCRIPT_TEXTS.keys()
    assert [name for name in told if "{" in SCRIPT_TEXTS[name]] == []


def facts_in(tree: ast.Module) -> Iterator[str]:
    """Names of what scripts show as a fact: a list of them is none."""
    for node in ast.walk(tree):
        given: list[ast.expr | None] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"Finding", "AnomalyRow"}:
            given = [*node.args]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            given = [node.value] if isinstance(target, ast.Name) and target.id == "evidence" else []
        for each in given:
            if isinstance(each, ast.Dict):
                facts = [key for key, value in zip(each.keys, each.values, strict=True) if not is_list(value)]
                yield from (key.value for key in facts if isinstance(key, ast.Constant) and isinstance(key.value, str))


def is_list(value: ast.expr) -> bool:
    is_sorted = isinstance(value, ast.Subscript) and isinstance(value.value, ast.Call)
    return is_sorted or isinstance(value, (ast.List, ast.ListComp))


@pytest.mark.parametrize(
    ("chosen", "accept", "expected"),
    [
        (None, "", "en"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "zh-TW", "zh"),
        (None, "en-GB,en;q=0.9,zh;q=0.8", "en"),
        (None, "en;q=0.3, zh;q=0.7", "zh"),
        (None, "fr, zh;q=0", "en"),
        ("en", "zh-CN", "en"),
        ("xx", "zh-CN", "zh"),
    ],
)
def test_the_language_is_the_chosen_one_or_the_best_accepted(chosen: str | None, accept: str, expected: str) -> None:
    assert negotiate(chosen, accept) == expected


@given(st.text(max_size=300))
def test_any_accept_header_gives_a_language_of_ours(accept: str) -> None:
    assert negotiate(None, accept) in LANGUAGES


@given(st.text(max_size=100))
def test_data_in_a_page_cannot_end_its_element(text: str) -> None:
    assert "<" not in data_block({"name": f"</script>{text}"})


def test_vendored_files_are_the_ones_that_the_list_names() -> None:
    vendor = HERE / "static" / "vendor"
    rows = re.findall(r"^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$", (vendor / "VENDOR.md").read_text(), re.MULTILINE)
    assert {name for name, _ in rows} == {path.name for path in vendor.iterdir() if path.suffix in {".js", ".css"}}
    for name, digest in rows:
        assert sha256((vendor / name).read_bytes()).hexdigest() == digest, name


def test_no_page_of_ours_has_an_inline_script_or_style() -> None:
    for path in (HERE / "templates").iterdir():
        markup = path.read_text()
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", markup), path.name
        for tag in re.findall(r"<script[^>]*>", markup):
            assert "src=" in tag or 'type="application/json"' in tag, path.name
