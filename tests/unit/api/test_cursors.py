from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_api.kit.paging import CursorError, decode_cursor, encode_cursor


def decode(cursor: str) -> tuple[datetime, UUID]:
    return decode_cursor("anomalies", tuple[datetime, UUID], cursor)


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_cursor_gives_back_the_key_it_was_made_of(at: datetime, id_: UUID) -> None:
    assert decode(encode_cursor("anomalies", (at, id_))) == (at, id_)


def test_a_cursor_of_another_list_is_refused() -> None:
    cursor = encode_cursor("events", (datetime(2026, 1, 5, tzinfo=UTC), UUID(int=1)))
    with pytest.raises(CursorError):
        decode(cursor)


@given(st.text(max_size=80))
def test_text_that_is_no_cursor_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(CursorError):
        decode(text)


@pytest.mark.parametrize("key", [("x",), (1, 2), (datetime(2026, 1, 5, tzinfo=UTC),), ()])
def test_a_cursor_with_a_key_of_another_shape_is_refused(key: tuple[object, ...]) -> None:
    with pytest.raises(CursorError):
        decode(encode_cursor("anomalies", key))
