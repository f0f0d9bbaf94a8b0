"""The table of roles and actions, worked out by asking the policies: what docs/access.md shows."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from api.authorization import (
    HUMAN_ROLES,
    SERVICE,
    Action,
    Policies,
    Principal,
    Purpose,
    Role,
    counter,
    device,
    override,
    person,
    place,
    policies,
    reason_context,
    system,
)
from api.errors import ApiError

BEGIN: Final = "<!-- matrix: made by `hailong central access-matrix` -->"
END: Final = "<!-- end of matrix -->"
NEVER: Final = "–"  # noqa: RUF001 - the dash of an empty cell
ALWAYS: Final = "yes"
_OWN: Final = "own"
_EDGE: Final = UUID(int=1)
_REASON: Final = reason_context(Purpose.INSPECTION.value, "YC-1")
_RESOURCES: Final = {
    "service": SERVICE,
    "own counter": counter("own.1", _OWN),
    "named counter": counter("named.1", "elsewhere"),
    "other counter": counter("other.1", "elsewhere"),
    "own place": place("unit:u", ["own", "u"], ["own.1", "other.1"]),
    "other place": place("unit:v", ["elsewhere", "v"], ["named.1", "other.1"]),
    "own override": override("1", "self"),
    "other's override": override("2", "another"),
}
_CONTEXTS: Final[Mapping[str, Mapping[str, object]]] = {
    "nothing": {},
    "reason": _REASON,
    "token": {"demonstration_token": True},
    "no token": {"demonstration_token": False},
}
_CONDITIONS: Final = (
    ("with a reason", "reason", "nothing"),
    ("with the demonstration's token", "token", "no token"),
    ("own counters", "own counter", "other counter"),
    ("own places", "own place", "other place"),
    ("not their own", "other's override", "own override"),
    ("not as a list", "own counter", "service"),
    ("not as a list", "other's override", "service"),
    ("unless revoked", "enrolled", "revoked"),
)
"""What a cell says -> a situation that is permitted, and its counterpart that is not."""


@dataclass(frozen=True, slots=True)
class _Situation:
    """One way to ask: the principal's state, the resource and the context, by their names."""

    state: str
    resource: str
    context: str


def matrix(asked: Policies | None = None) -> dict[Action, dict[Role, str]]:
    """Return under which conditions each role may do each action.

    Args:
        asked: The policies to ask; None takes the program's own.
    """
    found = asked or policies()
    return {action: {role: _cell(found, role, action) for role in Role} for action in Action}


def rendered(asked: Policies | None = None) -> str:
    """Return the table as Markdown."""
    lines = [
        "| action | " + " | ".join(role.value for role in Role) + " |",
        "|" + "---|" * (len(Role) + 1),
    ]
    for action, cells in matrix(asked).items():
        lines.append(f"| `{action.value}` | " + " | ".join(cells[role] for role in Role) + " |")
    return "\n".join(lines)


def write_into(path: Path) -> None:
    """Replace the table in a document.

    Raises:
        ApiError: The document has no place for it.
    """
    try:
        text = path.read_text("utf-8")
        head, rest = text.split(BEGIN, 1)
        _, tail = rest.split(END, 1)
    except (OSError, ValueError) as error:
        raise ApiError(f"{path} has no lines '{BEGIN}' and '{END}': add them where the table goes") from error
    path.write_text(f"{head}{BEGIN}\n{rendered()}\n{END}{tail}", "utf-8")


def _cell(asked: Policies, role: Role, action: Action) -> str:
    permitted = {
        _Situation(state, resource, context)
        for state, principal in _principals(role)
        for resource, context in _askable(principal.kind, action)
        if asked.decide(principal, action, _RESOURCES[resource], _CONTEXTS[context]).permitted
    }
    if not permitted:
        return NEVER
    names = [{getattr(item, part) for item in permitted} for part in ("state", "resource", "context")]
    conditions = [
        said
        for said, with_it, without in _CONDITIONS
        if any(with_it in known and without not in known for known in names)
    ]
    return ", ".join(conditions) or ALWAYS


@functools.cache
def _askable(kind: str, action: Action) -> tuple[tuple[str, str], ...]:
    """Return the resources and contexts that the schema knows for an action: all else is refused anyhow."""
    everything = _permit_everything()
    principal = next(found for role in Role for _, found in _principals(role) if found.kind == kind)
    return tuple(
        (resource, context)
        for resource, context in itertools.product(_RESOURCES, _CONTEXTS)
        if everything.decide(principal, action, _RESOURCES[resource], _CONTEXTS[context]).permitted
    )


@functools.cache
def _permit_everything() -> Policies:
    return Policies("permit (principal, action, resource);")


def _principals(role: Role) -> Iterator[tuple[str, Principal]]:
    if role in HUMAN_ROLES:
        yield "own password", person("self", role, areas=[_OWN], counters=["named.1"])
    elif role is Role.EDGE_DEVICE:
        yield "enrolled", device(_EDGE, revoked=False)
        yield "revoked", device(_EDGE, revoked=True)
    elif role is Role.SOURCE_SYSTEM:
        yield "enrolled", system("self", revoked=False)
        yield "revoked", system("self", revoked=True)
    else:
        yield "nothing shown", Principal("Visitor", "anybody", role)
