import re
from hashlib import sha256
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

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
