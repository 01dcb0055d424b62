"""Files of tables for tests."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

from platform_api.exports.files import Format, write


def written(form: Format, sheet: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """The bytes of a file."""
    target = io.BytesIO()
    write(target, form, sheet, columns, rows)
    return target.getvalue()
