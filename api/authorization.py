"""Who may do what: roles, actions, and Cedar policies that decide; what they do not permit is refused.

The policies are `policies/access.cedar`, their schema `policies/access.cedarschema`. Decisions are
taken from what the database says at each request. Only an edge's answer is kept, and under all that
it depends on: the edge, the action, and whether it is revoked now.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.resources import files
from typing import Any, Final
from uuid import UUID

import cedarpy

from api.errors import ApiError


class PoliciesInvalid(ApiError, ValueError):  # noqa: N818 - named for what happened
    """The policies do not fit their schema: the program must not start."""


class Role(StrEnum):
    """Who a principal is. Only the human ones have accounts."""

    ADMINISTRATOR = "administrator"
    SUPERVISOR = "supervisor"
    PRIVACY_OFFICER = "privacy-officer"
    OBSERVER = "observer"
    DATA_ENTRY = "data-entry"
    EDGE_DEVICE = "edge-device"
    SOURCE_SYSTEM = "source-system"
    """A system of the province that brings ballots of its channels, with a token."""
    OFFICER_TABLET = "officer-tablet"
    """Known at the edge only, by a secret of its own; the centre grants it what a citizen has."""
    CITIZEN = "citizen"
    """Whoever has shown nothing."""


HUMAN_ROLES: Final = (
    Role.SUPERVISOR,
    Role.PRIVACY_OFFICER,
    Role.OBSERVER,
    Role.DATA_ENTRY,
    Role.ADMINISTRATOR,
)


class Action(StrEnum):
    """What can be done; every route declares one. The schema of the policies has the same names."""

    WATCH_SERVICE = "watch-service"
    LOAD_PAGE_PARTS = "load-page-parts"
    LOG_IN = "log-in"
    ENROL_EDGE = "enrol-edge"
    READ_NOTICES = "read-notices"
    READ_TREE = "read-tree"
    READ_OPEN_DATA = "read-open-data"
    VIEW_OWN_RECEIPT = "view-own-receipt"
    WITHDRAW_BY_RECEIPT = "withdraw-by-receipt"
    LOG_OUT = "log-out"
    CHANGE_PASSWORD = "change-password"  # noqa: S105 - the name of an action
    STATE_REASON = "state-reason"
    VIEW_FIGURES = "view-figures"
    NOTE_ACTION = "note-action"
    VIEW_ALERTS = "view-alerts"
    ACKNOWLEDGE_ALERT = "acknowledge-alert"
    SUBSCRIBE_ALERTS = "subscribe-alerts"
    VIEW_PROOFS = "view-proofs"
    MANAGE_ACCOUNTS = "manage-accounts"
    MANAGE_EDGES = "manage-edges"
    MANAGE_SOURCES = "manage-sources"
    VIEW_IMPORTS = "view-imports"
    IMPORT_BALLOTS = "import-ballots"
    WITHDRAW_IMPORT = "withdraw-import"
    VIEW_ORGANISATION = "view-organisation"
    CHANGE_ORGANISATION = "change-organisation"
    IMPORT_TRANSACTIONS = "import-transactions"
    DRAW_SAMPLES = "draw-samples"
    DECIDE_FORMULA = "decide-formula"
    VIEW_CONSENT_RATES = "view-consent-rates"
    READ_CONSENTS = "read-consents"
    SEARCH_CONSENTS = "search-consents"
    READ_CONSENT = "read-consent"
    WITHDRAW_FOR_CITIZEN = "withdraw-for-citizen"
    ERASE_RECORD = "erase-record"
    ASK_ERASURE_OVERRIDE = "ask-erasure-override"
    DECIDE_ERASURE_OVERRIDE = "decide-erasure-override"
    MANAGE_REQUESTS = "manage-requests"
    MANAGE_BREACHES = "manage-breaches"
    READ_LOG = "read-log"
    VERIFY_LOG = "verify-log"
    READ_ACCESS_LOG = "read-access-log"
    EXPORT = "export"
    VIEW_NOISE_BUDGET = "view-noise-budget"
    SPEND_NOISE_BUDGET = "spend-noise-budget"
    VIEW_RETENTION = "view-retention"
    RUN_RETENTION = "run-retention"
    SUBMIT_BATCHES = "submit-batches"
    SUBMIT_LOG = "submit-log"
    READ_OWN_LOG = "read-own-log"
    SUBMIT_BALLOTS = "submit-ballots"
    READ_OWN_IMPORTS = "read-own-imports"
    WATCH_ARRIVALS = "watch-arrivals"


class Purpose(StrEnum):
    """Why somebody reads data of persons."""

    SUBJECT_REQUEST = "subject-request"
    COMPLAINT = "complaint"
    BREACH = "breach"
    INSPECTION = "inspection"
    QUALITY_CHECK = "quality-check"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, as the policies know them.

    Attributes:
        kind: Person, Device, System or Visitor.
        id: Name of the account or source system, id of the edge.
        role: The one role.
        attributes: What the schema lists for the kind.
    """

    kind: str
    id: str
    role: Role
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resource:
    """What is asked for, as the policies know it."""

    kind: str = "Service"
    id: str = "centre"
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, and which policies made it (the names of their `@id`)."""

    permitted: bool
    policies: tuple[str, ...]


REASON_NEEDED: Final = "reason-needed"
"""The policy that refuses an action on data of persons without purpose and ticket."""
ONE_TIME_PASSWORD: Final = "one-time-password"  # noqa: S105 - the name of a policy
"""The policy that refuses everything but a new password after a one-time one."""
SERVICE: Final = Resource()
VISITOR: Final = Principal("Visitor", "anybody", Role.CITIZEN)


def person(
    name: str,
    role: Role,
    *,
    must_change: bool = False,
    areas: Sequence[str] = (),
    counters: Sequence[str] = (),
) -> Principal:
    """Return the principal of an account."""
    attributes = {"must_change": must_change, "areas": list(areas), "counters": list(counters)}
    return Principal("Person", name, role, attributes)


def device(edge: UUID, *, revoked: bool) -> Principal:
    """Return the principal of an edge whose signature was found right."""
    return Principal("Device", str(edge), Role.EDGE_DEVICE, {"revoked": revoked})


def system(name: str, *, revoked: bool) -> Principal:
    """Return the principal of a source system whose token was found."""
    return Principal("System", name, Role.SOURCE_SYSTEM, {"revoked": revoked})


def counter(code: str, area: str) -> Resource:
    """Return a counter as a resource."""
    return Resource("Counter", code, {"code": code, "area": area})


def place(name: str, nodes: Sequence[str], counters: Sequence[str]) -> Resource:
    """Return a place of the organisation as a resource.

    Args:
        name: `all`, `unit:CODE`, `commune:CODE` and so on.
        nodes: Codes of the node itself and of those above it.
        counters: Codes of all counters at or below it.
    """
    return Resource("Place", name, {"nodes": list(nodes), "counters": list(counters)})


def override(number: str, asked_by: str) -> Resource:
    """Return an erasure override as a resource; `asked_by` names the account that asked for it."""
    return Resource("Override", number, {"asked_by": {"__entity": {"type": "Person", "id": asked_by}}})


def reason_context(purpose: str | None, ticket: str | None) -> dict[str, object]:
    """Return the context of an action on data of persons."""
    given = {"purpose": purpose, "ticket": ticket}
    return {name: value for name, value in given.items() if value is not None}


class Policies:
    """The policies and their schema, parsed once and validated when made.

    Args:
        text: Cedar policies; None takes the program's own.
        schema: Their schema; None takes the program's own.

    Raises:
        PoliciesInvalid: They do not parse, or do not fit the schema.
    """

    def __init__(self, text: str | None = None, schema: str | None = None) -> None:
        """Parse and validate."""
        folder = files("api").joinpath("policies")
        text = folder.joinpath("access.cedar").read_text("utf-8") if text is None else text
        schema = folder.joinpath("access.cedarschema").read_text("utf-8") if schema is None else schema
        try:
            self._schema = cedarpy.Schema.from_str(schema)
            self._policies = cedarpy.PolicySet.from_str(text)
        except ValueError as error:
            raise PoliciesInvalid(f"the access policies cannot be read: {error}") from error
        found = cedarpy.validate_policies(text, self._schema)
        if not found.validation_passed:
            faults = "; ".join(str(fault) for fault in found.errors)
            raise PoliciesInvalid(f"the access policies do not fit their schema: {faults}")

    def decide(
        self,
        principal: Principal,
        action: Action,
        resource: Resource = SERVICE,
        context: Mapping[str, object] | None = None,
    ) -> Decision:
        """Decide one request; whatever cannot be decided is refused.

        Args:
            principal: Who asks.
            action: What they want to do.
            resource: What they want to do it to.
            context: What the schema lists for the action.
        """
        role = {"type": "Role", "id": principal.role.value}
        who = {"type": principal.kind, "id": principal.id}
        what = {"type": resource.kind, "id": resource.id}
        entities: list[dict[str, Any]] = [
            {"uid": role, "attrs": {}, "parents": []},
            {"uid": who, "attrs": dict(principal.attributes), "parents": [role]},
            {"uid": what, "attrs": dict(resource.attributes), "parents": []},
        ]
        request = {
            "principal": who,
            "action": {"type": "Action", "id": action.value},
            "resource": what,
            "context": dict(context or {}),
        }
        answer = cedarpy.is_authorized(request, self._policies, entities, self._schema)
        names = answer.diagnostics.id_annotations_by_reason
        return Decision(
            answer.allowed, tuple(sorted(names.get(item, item) for item in answer.diagnostics.reasons))
        )


@functools.cache
def policies() -> Policies:
    """Return the program's own policies; they cannot change while it runs.

    Raises:
        PoliciesInvalid: They do not fit their schema.
    """
    return Policies()


@functools.lru_cache(maxsize=4096)
def edge_may(edge: UUID, action: Action, *, revoked: bool) -> bool:
    """Ask the policies for an edge whose signature was found right.

    The policies cannot change while the program runs, so the same question has the same answer.
    """
    return policies().decide(device(edge, revoked=revoked), action).permitted
