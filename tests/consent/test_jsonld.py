"""JSON-LD of a consent: DPV terms that exist, shapes with teeth, nothing fetched."""

from __future__ import annotations

import copy
import json
import re
import socket
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from rdflib import RDF, Graph, URIRef

from consent import jsonld
from consent.entry import ReadPurpose
from consent.errors import ExportRefused
from consent.export import record_document
from consent.state import State
from tests.consent.citizens import Clocks
from tests.consent.lives import lived, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DPV = "https://w3id.org/dpv#"
OWN = "urn:hailong:vn-pdpl:"


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[State, dict[str, Any]]:
    """The linked document of one consent for each end."""
    clocks = Clocks()
    with open_store(tmp_path_factory.mktemp("log") / "consent.sqlite", clocks) as store:
        return {
            end: jsonld.linked(
                record_document(store.evidence(lived(store, clocks, end, pseudonym="cd" * 32)))
            )
            for end in State
        }


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("end", State)
def test_each_end_keeps_the_shapes_and_fetches_nothing(
    documents: dict[State, dict[str, Any]], end: State
) -> None:
    jsonld.check(documents[end])


def test_the_bytes_of_an_export_are_the_same_each_time(tmp_path: Path) -> None:
    clocks = Clocks()
    with open_store(tmp_path / "consent.sqlite", clocks) as store:
        document = record_document(store.evidence(lived(store, clocks, State.COMPLETED)))
    made = jsonld.encoded(document)
    assert made == jsonld.encoded(document)
    assert json.loads(made)["@context"]["dpv"] == DPV


def test_statuses_are_those_of_the_vocabulary(documents: dict[State, dict[str, Any]]) -> None:
    assert {end: documents[end]["status"] for end in State} == {
        State.OFFERED: "dpv:ConsentRequested",
        State.GIVEN: "dpv:ConsentGiven",
        State.REFUSED: "dpv:ConsentRefused",
        State.DEFERRED: "dpv:ConsentRequestDeferred",
        State.WITHDRAWN: "dpv:ConsentWithdrawn",
        State.EXPIRED: "dpv:ConsentExpired",
        State.COMPLETED: "vn:ConsentCompleted",
        State.REVOKED: "dpv:ConsentRevoked",
        State.INVALIDATED: "dpv:ConsentInvalidated",
    }


@cache
def _dpv_terms() -> frozenset[str]:
    lines = jsonld.vocabulary("dpv-2.3.txt").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def _iris(graph: Graph, prefix: str) -> set[str]:
    return {
        str(node).removeprefix(prefix)
        for triple in graph
        for node in triple
        if isinstance(node, URIRef) and str(node).startswith(prefix)
    }


def test_only_terms_that_exist_are_used(documents: dict[State, dict[str, Any]]) -> None:
    shapes = Graph().parse(data=jsonld.vocabulary("shapes.ttl"), format="turtle")
    own = Graph().parse(data=jsonld.vocabulary("vn-pdpl.ttl"), format="turtle")
    defined = {
        str(subject).removeprefix(OWN) for subject in own.subjects(RDF.type) if str(subject).startswith(OWN)
    }
    used_dpv, used_own = _iris(shapes, DPV) | _iris(own, DPV), _iris(shapes, OWN)
    for document in documents.values():
        graph = Graph().parse(data=json.dumps(document), format="json-ld")
        used_dpv |= _iris(graph, DPV)
        used_own |= _iris(graph, OWN)
    named = set(re.findall(r'"dpv:(\w+)"', jsonld.vocabulary("context.jsonld")))
    assert (used_dpv | named) - _dpv_terms() == set()
    assert "ConsentTerminated" not in _dpv_terms()
    assert {name for name in used_own if not name.endswith("Shape")} - defined == set()


def test_every_field_has_a_meaning(documents: dict[State, dict[str, Any]]) -> None:
    """What the context does not name would vanish silently from the graph."""
    context = documents[State.OFFERED]["@context"]

    def names(value: Any) -> Iterator[str]:
        if isinstance(value, list):
            for item in value:
                yield from names(item)
        elif isinstance(value, dict):
            for name, inner in value.items():
                yield name
                if name not in {"@context", "description"}:
                    yield from names(inner)

    used = {name for document in documents.values() for name in names(document)} - {"@context"}
    assert used - set(context) == set()


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every field of a document; of lists the last element, of descriptions each language."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name != "@context":
                yield (*path, name)
                yield from _paths(inner, (*path, name))
    elif isinstance(value, list) and value and isinstance(value[-1], dict):
        yield from _paths(value[-1], (*path, len(value) - 1))


OPTIONAL = {"pseudonym", "checkpoint", "capture", "erasure", "id", "store"}
"""Fields without which a document is still complete; `id` of a record and of a purpose makes a node."""


def _without(document: dict[str, Any], path: tuple[str | int, ...]) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return changed


def test_shapes_miss_every_required_field(documents: dict[State, dict[str, Any]]) -> None:
    document = copy.deepcopy(documents[State.WITHDRAWN])
    document["event"] = document["event"][:2]  # one that leads to a state, one that is a fact
    document["evidence"]["proven"] = document["evidence"]["proven"][:1]
    document["process"], document["storage"] = document["process"][:1], document["storage"][:2]
    jsonld.check(document)
    paths = [path for path in _paths(document) if path[-1] not in OPTIONAL]
    # A session or an erasure without an end was lost or still runs; purposes are typed by our vocabulary too.
    spare = {("capture", "endedAt"), ("erasure", "endedAt"), ("process", 0, "purpose", "type")}
    assert len(paths) > 90
    survived = []
    for path in paths:
        if path in spare:
            continue
        try:
            jsonld.check(_without(document, path))
        except ExportRefused:
            continue
        survived.append(path)
    assert survived == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("status",), "dpv:ConsentTerminated"),
        (("id",), "https://example.org/1"),
        (("schemaVersion",), 1),
        (("oneTransaction",), False),
        (("dwellMs",), -1),
        (("dwellMs",), "soon"),
        (("decidedAt",), "yesterday"),
        (("notice", 0, "sha256"), "12"),
        (("notice", 0, "type"), "dpv:RightNotice"),
        (("process", 0, "personalData", "type"), "dpv:PersonalData"),
        (("process", 0, "status"), "dpv:ConsentRefused"),
        (("subject", "pseudonym"), "012345678901"),
        (("controller", "name"), ""),
        (("authority", "description"), {"vi": "a", "fr": "b"}),
        (("event", 0, "indicatedBy"), "vn:by-officer"),
        (("event", 0, "logIndex"), 0),
        (("event", 1, "fact"), "seen"),
        (("evidence", "treeRoot"), "00"),
        (("evidence", "origin"), "elsewhere"),
        (("storage", 1, "retentionDays"), -1),
        (("capture", "processedImageMs"), -1),
        (("erasure", "store", 0, "removed"), -1),
        (("right",), ["vn:right-know"]),
    ],
)
def test_shapes_refuse_wrong_values(
    documents: dict[State, dict[str, Any]], path: tuple[str | int, ...], value: Any
) -> None:
    changed = copy.deepcopy(documents[State.WITHDRAWN])
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    assert place[path[-1]] != value
    place[path[-1]] = value
    with pytest.raises(ExportRefused, match="no complete consent record"):
        jsonld.check(changed)


@pytest.fixture(scope="module")
def read_twice(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The linked document of a consent whose kept quotes were read in two cases."""
    clocks = Clocks()
    with open_store(tmp_path_factory.mktemp("log") / "consent.sqlite", clocks) as store:
        record_id = lived(store, clocks, State.COMPLETED, quotes=True)
        store.quotes_read(record_id, "dpo-1", ReadPurpose.COMPLAINT, "YC-2026/0142", quotes=2)
        store.quotes_read(record_id, "dpo-2", ReadPurpose.INSPECTION, "TT-7", quotes=2)
        return jsonld.linked(record_document(store.evidence(record_id)))


def test_who_read_quotes_keeps_the_shapes(read_twice: dict[str, Any]) -> None:
    jsonld.check(read_twice)
    assert [item["reader"] for item in read_twice["quotesRead"]] == ["dpo-1", "dpo-2"]


@pytest.mark.parametrize("name", ["type", "logIndex", "leafHash", "readAt", "reader", "reason", "ticket"])
def test_shapes_miss_every_field_of_a_reading(read_twice: dict[str, Any], name: str) -> None:
    with pytest.raises(ExportRefused, match="no complete consent record"):
        jsonld.check(_without(read_twice, ("quotesRead", 1, name)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("logIndex", 0),
        ("leafHash", "ab"),
        ("readAt", "yesterday"),
        ("reader", "Nguyễn Văn A"),
        ("reason", "curious"),
        ("ticket", "vì tôi muốn"),
    ],
)
def test_shapes_refuse_wrong_values_of_a_reading(read_twice: dict[str, Any], name: str, value: Any) -> None:
    changed = copy.deepcopy(read_twice)
    changed["quotesRead"][0][name] = value
    with pytest.raises(ExportRefused, match="no complete consent record"):
        jsonld.check(changed)


def test_quotes_that_were_not_given_cannot_have_been_read(read_twice: dict[str, Any]) -> None:
    changed = copy.deepcopy(read_twice)
    (process,) = [item for item in changed["process"] if item["purpose"]["id"] == "vn:purpose-quotes"]
    assert process["status"] == "dpv:ConsentGiven"
    process["status"] = "dpv:ConsentRefused"
    with pytest.raises(ExportRefused, match="no complete consent record"):
        jsonld.check(changed)


def test_every_reason_of_a_reading_is_in_the_shapes(read_twice: dict[str, Any]) -> None:
    for purpose in ReadPurpose:
        changed = copy.deepcopy(read_twice)
        changed["quotesRead"][0]["reason"] = purpose.value
        jsonld.check(changed)


@pytest.mark.parametrize("document", [{}, {"type": "dpv:ConsentRecord"}])
def test_an_empty_document_is_refused(document: dict[str, Any]) -> None:
    context = json.loads(jsonld.vocabulary("context.jsonld"))["@context"]
    with pytest.raises(ExportRefused):
        jsonld.check({"@context": context, **document})


def test_without_pyshacl_an_export_says_what_to_install(
    documents: dict[State, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent.jsonld.find_spec", lambda _: None)
    with pytest.raises(ExportRefused, match=r"hailong\[audit\]"):
        jsonld.check(documents[State.GIVEN])
