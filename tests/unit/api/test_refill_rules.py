from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from platform_api.logistics.proofs import media_type_of
from platform_api.replenishment.refill_rules import REFILL_DAYS, Refill, RefillState, Task, share_refills, state_after

START = datetime(2026, 1, 5, 8, tzinfo=UTC)


def task(number: int, units: int, after_h: int = 0) -> Task:
    return Task(UUID(int=number), units, START + timedelta(hours=after_h))


def refill(units: int, after_h: float) -> Refill:
    return Refill(START + timedelta(hours=after_h), units)


def test_a_refill_counts_for_the_oldest_task_first_and_for_no_two() -> None:
    tasks = [task(1, 12), task(2, 8, after_h=1)]
    assert share_refills(tasks, [refill(12, 2)]) == {UUID(int=1): 12, UUID(int=2): 0}
    assert share_refills(tasks, [refill(12, 2), refill(5, 3)]) == {UUID(int=1): 12, UUID(int=2): 5}
    assert share_refills(tasks, [refill(20, 2)]) == {UUID(int=1): 12, UUID(int=2): 8}


def test_what_was_refilled_before_a_task_or_long_after_is_not_of_it() -> None:
    late_h = REFILL_DAYS / timedelta(hours=1)
    assert share_refills([task(1, 12)], [refill(4, -1), refill(5, 0), refill(6, late_h)]) == {UUID(int=1): 5}


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 200)), max_size=6),
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 300)), max_size=10),
)
def test_no_unit_counts_twice_and_no_task_is_overfilled(
    wanted: list[tuple[int, int]], came: list[tuple[int, int]]
) -> None:
    tasks = [task(number, units, after_h) for number, (units, after_h) in enumerate(wanted)]
    seen = share_refills(tasks, [refill(units, after_h) for units, after_h in came])
    assert sum(seen.values()) <= sum(units for units, _ in came)
    assert all(seen[one.refill_id] <= one.units for one in tasks)


def test_a_task_is_over_when_the_shelves_saw_it_or_when_its_time_is() -> None:
    one = task(1, 100)
    assert state_after(one, 97, START) is RefillState.OPEN
    assert state_after(one, 98, START) is RefillState.DONE
    assert state_after(one, 97, START + REFILL_DAYS) is RefillState.EXPIRED


def test_only_pictures_are_pictures() -> None:
    assert media_type_of(b"\xff\xd8\xff\xe0 ...") == "image/jpeg"
    assert media_type_of(b"\x89PNG\r\n\x1a\n...") == "image/png"
    for other in (b"", b"<svg onload='alert(1)'>", b"GIF89a", b"\xff\xd8", b"%PDF-1.7"):
        assert media_type_of(other) is None
