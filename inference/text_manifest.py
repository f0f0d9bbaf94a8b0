"""Read labelled utterances to measure the text model with.

Either JSON Lines, `{"text": "...", "sentiment": "positive|neutral|negative", "factor":
"officer", "kind": "irony"}`, or a `.txt` of our corpus, `SIGN FACTORS : sentence` a line under
headings `# kind: irony`. `factor` is optional, a code of the six or a list of codes (an empty
list says "none of the six"); `kind` is optional and only groups the report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.corpus.expansion import read_frame_line
from models.text_sentiment import FACTORS, SENTIMENTS

_KIND: Final = "# kind:"


class TextManifestError(ValueError):
    """A manifest cannot be read; the message names file and line and what to correct."""


@dataclass(frozen=True, slots=True)
class LabelledText:
    """One line of a manifest; `factors` is None where the line says nothing about them."""

    text: str
    sentiment: str
    factors: frozenset[str] | None
    kind: str | None = None


def read_manifest(path: Path) -> tuple[LabelledText, ...]:
    """Read a manifest of labelled utterances.

    Raises:
        TextManifestError: The file cannot be read, is empty, or a line is malformed.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TextManifestError(f"{path} cannot be read: {error}. Give a UTF-8 JSON Lines file.") from error
    if path.suffix == ".txt":
        found = _spoken_lines(lines, path)
    else:
        found = [
            _labelled(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()
        ]
    if not found:
        raise TextManifestError(f"{path} holds no line. Give one JSON object a line with text and sentiment.")
    return tuple(found)


def _spoken_lines(lines: list[str], path: Path) -> list[LabelledText]:
    found: list[LabelledText] = []
    kind: str | None = None
    for number, line in enumerate(lines, start=1):
        if line.startswith(_KIND):
            kind = line.removeprefix(_KIND).strip()
        if not line.strip() or line.startswith("#"):
            continue
        try:
            frame = read_frame_line(line, f"{path}:{number}")
        except ValueError as error:
            raise TextManifestError(str(error)) from error
        if set("[{") & set(frame.pattern):
            raise TextManifestError(
                f"{path}:{number}: choices and slots cannot be measured. Write the sentence out."
            )
        found.append(LabelledText(frame.pattern, frame.sentiment, frozenset(frame.factors), kind))
    return found


def _labelled(line: str, place: str) -> LabelledText:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise TextManifestError(f"{place}: not JSON ({error}). Write one JSON object a line.") from error
    if not isinstance(entry, dict):
        raise TextManifestError(f"{place}: a line is a JSON object with text and sentiment.")
    text, sentiment, kind = entry.get("text"), entry.get("sentiment"), entry.get("kind")
    if not isinstance(text, str):
        raise TextManifestError(f"{place}: 'text' is missing or not a string.")
    if sentiment not in SENTIMENTS:
        raise TextManifestError(f"{place}: 'sentiment' is {sentiment!r}; use {', '.join(SENTIMENTS)}.")
    if kind is not None and not isinstance(kind, str):
        raise TextManifestError(f"{place}: 'kind' is {kind!r}; use a word or leave it out.")
    return LabelledText(text, str(sentiment), _factors(entry, place), kind)


def _factors(entry: Mapping[str, object], place: str) -> frozenset[str] | None:
    given = entry.get("factor")
    if given is None:
        return None
    named = [given] if isinstance(given, str) else given
    if not isinstance(named, list) or any(name not in FACTORS for name in named):
        raise TextManifestError(
            f"{place}: 'factor' is {given!r}; use {', '.join(FACTORS)}, a list of them, or []."
        )
    return frozenset(named)
