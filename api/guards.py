"""How a route declares its action: a dependency that decides, or names who decides in the handler.

Every route has exactly one of these among its dependencies; a test walks the application and finds it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant

from api.authorization import VISITOR, Action, policies
from api.errors import Refused


@dataclass(frozen=True, slots=True)
class Guard:
    """The action of a route; the base of everything that declares one."""

    action: Action


@dataclass(frozen=True, slots=True)
class Open(Guard):
    """Lets everybody pass, where the policies say so."""

    def __call__(self) -> None:
        """Decide for a visitor: whoever asks is at least one."""
        if not policies().decide(VISITOR, self.action).permitted:
            raise _refusal(self.action)


@dataclass(frozen=True, slots=True)
class Proven(Guard):
    """Leaves the decision to the handler, which first has to check a proof in the request."""

    def __call__(self) -> None:
        """Let the request reach its handler."""


def open_to_all(action: Action) -> Callable[[], None]:
    """Return the dependency of a route that the policies open to everybody."""
    return Open(action)


def proven(action: Action) -> Callable[[], None]:
    """Return the dependency of a route whose handler checks a signature or token, then asks the policies."""
    return Proven(action)


def client_address(request: Request, trusted_proxies: Sequence[str]) -> str:
    """Return where a request came from: the caller, or what a trusted proxy says of it."""
    address = request.client.host if request.client else ""
    hops = [hop.strip() for hop in request.headers.get("x-forwarded-for", "").split(",") if hop.strip()]
    while address in trusted_proxies and hops:
        address = hops.pop()
    return address


def declared_guards(dependant: Dependant) -> Iterator[Guard]:
    """Yield the guards among a route's dependencies: a sound route has exactly one."""
    call: Any = dependant.call
    if isinstance(call, Guard):
        yield call
    for inner in dependant.dependencies:
        yield from declared_guards(inner)


def _refusal(action: Action) -> Refused:
    return Refused(
        HTTPStatus.FORBIDDEN, "not-permitted", f"'{action.value}' is not permitted: ask an administrator"
    )
