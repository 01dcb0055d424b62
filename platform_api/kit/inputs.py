"""What comes in as JSON: a number is a number there, a boolean a boolean, and a text neither."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, StringConstraints
from pydantic_core import CoreSchema

Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]
"""What somebody writes of a thing; it may be empty. PostgreSQL keeps no zero bytes."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
"""What a thing is called where its kind has no names of its own."""

_STRICT: Final = frozenset({"int", "float", "bool"})


def _be_strict(part: Any) -> None:
    if isinstance(part, dict):
        if part.get("type") in _STRICT:
            part["strict"] = True
        for name, value in part.items():
            # The names of a JSON object are texts, whatever they count.
            if name not in {"keys_schema", "metadata"}:
                _be_strict(value)
    elif isinstance(part, (list, tuple)):
        for value in part:
            _be_strict(value)


class Input(BaseModel):
    """Base of every body: unknown names are refused, and so are ``"1"``, ``true`` and ``1.0`` where an integer belongs.

    pydantic's own strict mode would also refuse what JSON has no type for: times, UUIDs, enumerations.
    """

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema that pydantic makes, with numbers and booleans taken at their word."""
        schema = handler(source)
        _be_strict(schema)
        return schema
