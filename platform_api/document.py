"""The OpenAPI document: what FastAPI derives from the routes, and what it cannot know of them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI

from platform_api.kit.errors import COMMON_RESPONSES, MEDIA_TYPE

Schema = dict[str, Any]

REQUIRED_HEADERS: Final = frozenset({"if-match", "idempotency-key"})
"""Optional to FastAPI, so that their absence has statuses of its own (428, 400)."""
UNREADABLE: Final[Schema] = {
    "description": "The body is not what its media type says",
    "content": COMMON_RESPONSES[401]["content"],
}
METHODS: Final = frozenset({"get", "put", "post", "delete", "patch"})


class Documented(FastAPI):
    """An application whose document says what its answers and parameters really are."""

    def openapi(self) -> Schema:
        """The document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            for operation in operations(document):
                _complete(operation)
                _exemplify(operation, document["components"]["schemas"])
            self.openapi_schema = document
        return self.openapi_schema


def operations(document: Schema) -> Iterator[Schema]:
    """Each operation of a document."""
    for path in document["paths"].values():
        yield from (operation for method, operation in path.items() if method in METHODS)


def _complete(operation: Schema) -> None:
    for parameter in operation.get("parameters", []):
        _drop_null(parameter)
        if parameter["in"] == "header" and parameter["name"].lower() in REQUIRED_HEADERS:
            parameter["required"] = True
    if "requestBody" in operation:
        operation["responses"].setdefault("400", UNREADABLE)
    for answer in operation["responses"].values():
        content = answer.get("content", {})
        if MEDIA_TYPE in content:
            # Named by the model of an error as well; there is no such answer.
            content.pop("application/json", None)


def _exemplify(operation: Schema, schemas: Mapping[str, Schema]) -> None:
    """Put the example of a body where readers look for it: beside its schema, whatever model it is of."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if "example" not in content and (found := _example_of(content.get("schema", {}), schemas)) is not None:
            content["example"] = found


def _example_of(schema: Schema, schemas: Mapping[str, Schema]) -> object:
    """The first example of a schema, of what it refers to, or of one that it may be; None: there is none."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if "examples" in schema:
        return schema["examples"][0]
    return next((one for part in schema.get("anyOf", []) if (one := _example_of(part, schemas)) is not None), None)


def _drop_null(parameter: Schema) -> None:
    """An optional parameter is left out; there is no null in a path, a query or a header."""
    schema = parameter["schema"]
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        schema.pop("anyOf")
        parameter["schema"] = {**kinds[0], **schema}
