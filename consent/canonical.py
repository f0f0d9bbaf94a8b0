"""RFC 8785 canonical JSON of our own dataclasses, at the speed of the parser that reads them.

Their names are ASCII and their values are texts, whole numbers within 2**53, booleans, nulls and
lists of those: for such documents the canonical form is sorted names and no white space.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field, TypeAdapter
from pydantic_core import SchemaSerializer

_LARGEST: Final = 2**53 - 1

Whole: TypeAlias = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]
"""A number that every reader of JSON reads alike; RFC 8785 knows no larger one."""


def canonical_serializer(adapter: TypeAdapter[Any]) -> SchemaSerializer:
    """Return what writes the dataclasses of an adapter with their names in sorted order.

    The bytes are those of `rfc8785.dumps` over the same document. Reading and writing both stay
    within the parser's own code, so that a check of a whole log is a matter of seconds.
    """
    return SchemaSerializer(_sorted(adapter.core_schema))


def _sorted(schema: Any) -> Any:  # noqa: ANN401 - a schema is nested plain data
    """Return a schema whose dataclasses list their fields by name."""
    if isinstance(schema, dict):
        copy = {name: _sorted(part) for name, part in schema.items()}
        if copy.get("type") == "dataclass":
            copy["fields"] = sorted(copy["fields"])
        return copy
    if isinstance(schema, list | tuple):
        return type(schema)(_sorted(part) for part in schema)
    return schema
