"""A tag is removed after k rounds in a row without it, and not before."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.bus.rfid import TagTracker

TAGS = st.frozensets(st.sampled_from("abcde"))


def test_a_tag_that_is_missed_for_less_than_k_rounds_stays() -> None:
    tracker = TagTracker(3)
    assert tracker.step(1, ["a", "b"]) == (["a", "b"], [])
    assert tracker.step(2, ["a"]) == ([], [])
    assert tracker.step(3, ["a"]) == ([], [])
    assert tracker.step(4, ["a", "b"]) == ([], [])
    assert tracker.present == 2


def test_a_tag_is_removed_in_the_kth_round_without_it_and_counted_anew_when_it_comes_back() -> None:
    tracker = TagTracker(2)
    tracker.step(1, ["a"])
    assert tracker.step(2, []) == ([], [])
    assert tracker.step(3, []) == ([], ["a"])
    assert tracker.present == 0
    assert tracker.step(4, ["a"]) == (["a"], [])
    assert tracker.passages == 2


def test_a_round_that_comes_twice_is_taken_once() -> None:
    tracker = TagTracker(2)
    tracker.step(1, ["a"])
    tracker.step(2, [])
    assert tracker.step(2, []) is None
    assert tracker.present == 1


def test_a_reader_that_begins_anew_and_one_that_lost_rounds_are_heard() -> None:
    tracker = TagTracker(2)
    tracker.step(900, ["a"])
    assert tracker.step(0, ["a", "b"]) == (["b"], [])
    assert tracker.step(50, ["b"]) == ([], [])  # 49 rounds never came: a was missed once
    assert tracker.step(51, ["b"]) == ([], ["a"])


@given(st.lists(TAGS, max_size=40), st.integers(1, 5))
def test_present_are_the_tags_of_the_last_k_rounds(rounds: list[frozenset[str]], missed_rounds: int) -> None:
    tracker = TagTracker(missed_rounds)
    there: set[str] = set()
    passages = 0
    for number, tags in enumerate(rounds):
        changes = tracker.step(number, tags)
        assert changes is not None
        before, there = there, set().union(*rounds[max(0, number - missed_rounds + 1) : number + 1])
        assert changes.appeared == sorted(there - before)
        assert changes.removed == sorted(before - there)
        passages += len(there - before)
        assert tracker.present == len(there)
    assert tracker.passages == passages


@given(st.lists(st.tuples(st.integers(1, 3), TAGS), max_size=30))
def test_repetitions_change_nothing(rounds: list[tuple[int, frozenset[str]]]) -> None:
    once, often = TagTracker(2), TagTracker(2)
    for number, (times, tags) in enumerate(rounds):
        once.step(number, tags)
        for _ in range(times):
            often.step(number, tags)
    assert (often.present, often.passages) == (once.present, once.passages)
