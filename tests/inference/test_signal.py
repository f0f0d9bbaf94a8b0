from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from uuid6 import uuid7

from inference.signal import (
    MAX_SESSION,
    Abstention,
    Ballot,
    Change,
    Criterion,
    Estimate,
    Factor,
    FactorEstimate,
    ModelVersion,
    Quality,
    Signal,
)

START = datetime(2026, 11, 2, 8, 30, tzinfo=UTC)
_FORBIDDEN = re.compile(
    r"image|picture|frame|pixel|photo|audio|sample|sound|video|media|text|transcript|word|quote|utterance_text|"
    r"embedding|vector|feature|landmark|staff|employee|official|user|name_of|citizen|person|subject|phone|note"
)
_ALLOWED = {"image_permitted"}  # a yes or no about the consent, checked below to be a boolean


def leaves(schema: dict[str, Any], defs: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Return every leaf of a JSON schema with its path; refuse what can hold anything."""
    if "$ref" in schema:
        return leaves(defs[schema["$ref"].rsplit("/", 1)[1]], defs, path)
    if "anyOf" in schema:
        return [leaf for option in schema["anyOf"] for leaf in leaves(option, defs, path)]
    if schema.get("type") == "object":
        assert schema.get("additionalProperties") is False, f"{path} takes any key"
        return [
            leaf
            for name, part in schema["properties"].items()
            for leaf in leaves(part, defs, f"{path}.{name}")
        ]
    if schema.get("type") == "array":
        assert schema.get("maxItems", 1_000) <= 16, f"{path} is a list without a small limit"
        return leaves(schema["items"], defs, f"{path}[]")
    return [(path, schema)]


def is_harmless(leaf: dict[str, Any]) -> bool:
    match leaf.get("type"):
        case "boolean" | "null":
            return True
        case "integer" | "number":
            bounded = ("minimum" in leaf or "exclusiveMinimum" in leaf) and (
                "maximum" in leaf or "exclusiveMaximum" in leaf
            )
            return bounded or "const" in leaf
        case "string":
            if "enum" in leaf or leaf.get("format") in {"uuid", "date-time"}:
                return True
            pattern = leaf.get("pattern", "")
            return pattern.startswith("^") and pattern.endswith("$") and " " not in pattern and pattern != "."
    return False


def signal_leaves() -> list[tuple[str, dict[str, Any]]]:
    schema = Signal.model_json_schema()
    return leaves(schema, schema.get("$defs", {}))


def test_every_leaf_is_a_bounded_number_a_code_an_enum_a_time_or_an_identifier() -> None:
    found = signal_leaves()
    assert len(found) > 30
    assert [path for path, leaf in found if not is_harmless(leaf)] == []


@pytest.mark.parametrize(
    "leaf",
    [
        {"type": "string"},
        {"type": "string", "pattern": "a"},
        {"type": "string", "format": "binary"},
        {"type": "number"},
        {"type": "number", "minimum": 0},
        {},
    ],
)
def test_the_walk_would_refuse_a_field_that_can_hold_anything(leaf: dict[str, Any]) -> None:
    assert not is_harmless(leaf)


def test_free_keys_and_long_lists_are_refused_by_the_walk() -> None:
    with pytest.raises(AssertionError, match="takes any key"):
        leaves({"type": "object", "properties": {}}, {})
    with pytest.raises(AssertionError, match="without a small limit"):
        leaves({"type": "array", "items": {"type": "number"}}, {})


def test_no_field_is_named_after_media_text_or_a_person() -> None:
    names = {part.strip("[]") for path, _ in signal_leaves() for part in path.split(".") if part}
    assert {name for name in names if _FORBIDDEN.search(name)} == _ALLOWED
    assert all(
        leaf == {"title": "Image Permitted", "type": "boolean"}
        for path, leaf in signal_leaves()
        if path == ".image_permitted"
    )


def test_the_officer_is_only_a_factor_that_citizens_speak_about() -> None:
    names = {part.strip("[]") for path, _ in signal_leaves() for part in path.split(".")}
    assert not any("officer" in name for name in names)
    assert Factor.OFFICER in Factor


def test_codes_have_a_fixed_alphabet_and_length() -> None:
    for path, leaf in signal_leaves():
        if leaf.get("type") == "string" and "pattern" in leaf:
            pattern = re.compile(leaf["pattern"])
            assert not pattern.fullmatch("Xin chào"), path
            assert not pattern.fullmatch("a" * 65), path


def signal(**changes: Any) -> Signal:
    facts: dict[str, Any] = {
        "signal_id": uuid7(),
        "session_id": uuid7(),
        "consent_record_id": uuid7(),
        "counter": "counter-1",
        "window_start": START,
        "window_end": START + timedelta(minutes=5),
        "image_permitted": True,
        "voice_permitted": False,
        "overall": Estimate(score=0.5, low=0.2, high=0.8),
        "factors": (),
        "change": Change(abstained=Abstention.TOO_LITTLE_EVIDENCE),
        "quality": Quality(face_s=12.0),
        "models": (ModelVersion(name="centerface", version="1.5.0", sha256="0" * 64),),
        "software": "0.1.0",
    }
    return Signal(**(facts | changes))


def test_a_signal_survives_json() -> None:
    one = signal()
    assert Signal.model_validate_json(one.model_dump_json()) == one


@pytest.mark.parametrize(
    "changes",
    [
        {"counter": "Quầy số 1"},
        {"counter": "a" * 65},
        {"transcript": "xin chào"},
        {"window_end": START - timedelta(seconds=1)},
        {"window_end": START + MAX_SESSION + timedelta(seconds=1)},
        {"window_start": START.replace(tzinfo=None)},
        {"image_permitted": False},
        {"schema_version": 2},
        {
            "factors": (
                FactorEstimate(factor=Factor.ACCESS, estimate=Estimate(abstained=Abstention.LOW_QUALITY)),
            )
            * 2
        },
    ],
)
def test_a_wrong_signal_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        signal(**changes)


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"score": 0.5},
        {"score": 0.5, "low": 0.6, "high": 0.8},
        {"score": 0.5, "low": 0.2, "high": 0.4},
        {"score": 1.1, "low": 0.2, "high": 1.2},
        {"score": math.nan, "low": 0.0, "high": 1.0},
        {"score": 0.5, "low": 0.2, "high": 0.8, "abstained": Abstention.NO_EVIDENCE},
    ],
)
def test_an_estimate_is_ordered_figures_or_an_abstention(figures: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Estimate(**figures)


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"delta": 0.1},
        {"delta": 0.9, "low": 0.0, "high": 0.5},
        {"delta": -1.1, "low": -1.2, "high": 0.0},
        {"delta": 0.0, "low": 0.0, "high": 0.0, "abstained": Abstention.NO_EVIDENCE},
    ],
)
def test_a_change_is_ordered_figures_or_an_abstention(figures: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Change(**figures)


def test_the_day_of_a_signal() -> None:
    assert signal().day() == datetime(2026, 11, 2, tzinfo=UTC)


def test_the_waist_imports_no_perception_library() -> None:
    code = (
        "import sys, inference.signal; "
        "heavy = {'numpy', 'cv2', 'av', 'onnxruntime', 'models', 'consent', 'capture'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


BALLOT: dict[str, Any] = {
    "schema_version": 1,
    "ballot_id": "01930000-0000-7000-8000-000000000001",
    "counter": "counter-1",
    "cast_at": "2026-11-02T08:30:00Z",
    "session_id": None,
    "satisfied": {criterion.value: True for criterion in Criterion},
}


def test_every_leaf_of_a_ballot_is_harmless() -> None:
    properties = Ballot.model_json_schema()["properties"]
    answers = properties.pop("satisfied")
    assert answers["additionalProperties"] == {"type": "boolean"}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    found = leaves(schema, {})
    assert {path for path, _ in found} >= {".counter", ".procedure"}
    assert [path for path, leaf in found if not is_harmless(leaf)] == []


@pytest.mark.parametrize("added", [{}, {"procedure": None}])
def test_a_ballot_without_a_procedure_is_written_as_edges_always_wrote_it(added: dict[str, Any]) -> None:
    ballot = Ballot.model_validate_json(json.dumps(BALLOT | added), strict=True)
    assert ballot.procedure is None
    assert ballot.model_dump(mode="json") == BALLOT
    assert json.loads(ballot.model_dump_json()) == BALLOT


def test_a_ballot_carries_the_code_of_a_procedure() -> None:
    ballot = Ballot.model_validate_json(json.dumps(BALLOT | {"procedure": "1.004227"}), strict=True)
    assert ballot.model_dump(mode="json") == BALLOT | {"procedure": "1.004227"}


@pytest.mark.parametrize("code", ["", "Đăng ký", "a" * 65, "1.004227\n", 7])
def test_a_procedure_is_a_code_or_nothing(code: object) -> None:
    with pytest.raises(ValidationError, match="procedure"):
        Ballot.model_validate_json(json.dumps(BALLOT | {"procedure": code}), strict=True)
