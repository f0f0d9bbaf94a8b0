"""Measure redaction on sentences with marked spans: the work behind `hailong eval redaction`.

A manifest is JSON Lines: `{"text": "...", "spans": [{"start": 0, "end": 4, "kind": "phone"}]}`
with places in characters (Unicode code points) of the text as it stands, end exclusive.
A file whose name ends in `.txt` holds one sentence a line with `[kind words]` around what
identifies; lines that begin with "#" are notes.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inference.redaction import Redacted, redact, tokenise

KINDS: Final = {
    "number": "numbers",
    "citizen": "numbers",
    "phone": "numbers",
    "plate": "numbers",
    "account": "numbers",
    "code": "numbers",
    "birth": "births",
    "address": "addresses",
    "name": "names",
    "email": "emails",
}
"""The kinds of a manifest and the group that each counts in."""
_MARK: Final = re.compile(r"\[(\w+) ([^\[\]]*)\]")
_Z: Final = 1.96
"""Standard normal quantile of a two-sided interval of 95 %."""


class RedactionManifestError(ValueError):
    """A manifest cannot be read; the message names file and line and what to correct."""


@dataclass(frozen=True, slots=True)
class MarkedSpan:
    """What identifies in a sentence: first character, character after the last, kind."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class MarkedSentence:
    """One sentence of a manifest."""

    text: str
    spans: tuple[MarkedSpan, ...]


@dataclass(slots=True)
class _Count:
    """Spans and tokens of one kind: how many there were and how many went."""

    spans: int = 0
    spans_found: int = 0
    tokens: int = 0
    tokens_found: int = 0

    def add(self, other: _Count) -> None:
        self.spans += other.spans
        self.spans_found += other.spans_found
        self.tokens += other.tokens
        self.tokens_found += other.tokens_found

    def report(self) -> dict[str, object]:
        return {
            "spans": self.spans,
            "spans_found": self.spans_found,
            "span_recall": _share(self.spans_found, self.spans),
            "span_recall_95": wilson(self.spans_found, self.spans),
            "tokens": self.tokens,
            "token_recall": _share(self.tokens_found, self.tokens),
            "token_recall_95": wilson(self.tokens_found, self.tokens),
        }


def read_manifest(path: Path) -> tuple[MarkedSentence, ...]:
    """Read a manifest of marked sentences.

    Raises:
        RedactionManifestError: The file cannot be read, is empty, or a line is malformed.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RedactionManifestError(
            f"{path} cannot be read: {error}. Give a UTF-8 file of JSON Lines, or .txt with [kind words]."
        ) from error
    marked = path.suffix == ".txt"
    found = [
        _from_marks(line, place) if marked else _from_json(line, place)
        for number, line in enumerate(lines, start=1)
        if line.strip() and not (marked and line.startswith("#"))
        for place in [f"{path}:{number}"]
    ]
    if not found:
        raise RedactionManifestError(
            f"{path} holds no sentence. Give one JSON object a line with text and spans."
        )
    return tuple(found)


def _from_marks(line: str, place: str) -> MarkedSentence:
    text, spans, past = "", [], 0
    for mark in _MARK.finditer(line):
        text += line[past : mark.start()]
        spans.append(MarkedSpan(len(text), len(text) + len(mark[2]), _kind(mark[1], place)))
        text += mark[2]
        past = mark.end()
    text += line[past:]
    if "[" in text or "]" in text:
        raise RedactionManifestError(f"{place}: a bracket is not closed or empty. Write [kind words].")
    return MarkedSentence(text, tuple(spans))


def _from_json(line: str, place: str) -> MarkedSentence:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise RedactionManifestError(f"{place}: not JSON ({error}). Write one JSON object a line.") from error
    if not isinstance(entry, dict):
        raise RedactionManifestError(f"{place}: a line is a JSON object with text and spans.")
    text, spans = entry.get("text"), entry.get("spans")
    if not isinstance(text, str):
        raise RedactionManifestError(f"{place}: 'text' is missing or not a string.")
    if not isinstance(spans, list):
        raise RedactionManifestError(
            f"{place}: 'spans' is missing or not a list; use [] where nothing identifies."
        )
    return MarkedSentence(text, tuple(sorted(_spans(spans, text, place), key=lambda span: span.start)))


def _spans(spans: Sequence[object], text: str, place: str) -> Iterator[MarkedSpan]:
    taken = bytearray(len(text))
    for number, span in enumerate(spans, start=1):
        where = f"{place}: span {number}"
        if not isinstance(span, dict):
            raise RedactionManifestError(f"{where} is not an object with start, end and kind.")
        start, end = span.get("start"), span.get("end")
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
            raise RedactionManifestError(
                f"{where}: 'start' {start!r} and 'end' {end!r} are no stretch of the {len(text)} characters."
            )
        if any(taken[start:end]):
            raise RedactionManifestError(f"{where} overlaps another. Mark every character once.")
        taken[start:end] = b"\1" * (end - start)
        yield MarkedSpan(start, end, _kind(span.get("kind"), where))


def _kind(kind: object, place: str) -> str:
    if not isinstance(kind, str) or kind not in KINDS:
        raise RedactionManifestError(f"{place}: kind {kind!r} is unknown; use {', '.join(KINDS)}.")
    return kind


def run(
    manifest: Path,
    *,
    spoken_numbers: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, object]:
    """Redact every sentence of a manifest and compare with its marks.

    A token counts as found when it is gone, whatever stands in its place; a span when all
    its tokens are. A word outside every span that is gone is a false redaction.

    Args:
        manifest: JSON Lines or marked text, see the module.
        spoken_numbers: Read number words; False is the control that has to fail.
        progress: Called with (done, all) after each sentence.

    Returns:
        groups (numbers, names, addresses, births, emails; the kinds that occur), kinds, all,
        false_redaction, sentences, words, spoken_numbers, ms_per_sentence, cpu_ms_per_sentence.
        Recalls come with 95 % intervals (Wilson).

    Raises:
        RedactionManifestError: The manifest cannot be used.
    """
    sentences = read_manifest(manifest)
    kinds: dict[str, _Count] = {}
    false_words = free_words = 0
    spent_ns = spent_cpu_ns = 0
    for done, sentence in enumerate(sentences, start=1):
        started_ns, started_cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
        redacted = redact(sentence.text, spoken_numbers=spoken_numbers)
        spent_ns += time.perf_counter_ns() - started_ns
        spent_cpu_ns += time.thread_time_ns() - started_cpu_ns
        wrong, free = _compare(sentence, redacted, kinds)
        false_words += wrong
        free_words += free
        if progress is not None:
            progress(done, len(sentences))
    return {
        "groups": _groups(kinds),
        "kinds": {kind: kinds[kind].report() for kind in KINDS if kind in kinds},
        "all": _together(kinds.values()).report(),
        "false_redaction": {
            "words": free_words,
            "redacted": false_words,
            "share": _share(false_words, free_words),
            "share_95": wilson(false_words, free_words),
        },
        "sentences": len(sentences),
        "words": sum(len(tokenise(sentence.text)) for sentence in sentences),
        "spoken_numbers": spoken_numbers,
        "ms_per_sentence": round(spent_ns / 1e6 / len(sentences), 3),
        "cpu_ms_per_sentence": round(spent_cpu_ns / 1e6 / len(sentences), 3),
    }


def _compare(sentence: MarkedSentence, redacted: Redacted, kinds: dict[str, _Count]) -> tuple[int, int]:
    """Count one sentence; return its words redacted without reason and its words without a mark."""
    gone = bytearray(len(redacted.tokens))
    for span in redacted.spans:
        gone[span.start : span.end] = b"\1" * (span.end - span.start)
    marked = bytearray(len(redacted.tokens))
    for mark in sentence.spans:
        inside = [
            at
            for at, token in enumerate(redacted.tokens)
            if token.start < mark.end and mark.start < token.end
        ]
        hits = sum(gone[at] for at in inside)
        for at in inside:
            marked[at] = 1
        kinds.setdefault(mark.kind, _Count()).add(
            _Count(1, int(hits == len(inside)), len(inside), hits) if inside else _Count()
        )
    free = [at for at in range(len(marked)) if not marked[at]]
    return sum(gone[at] for at in free), len(free)


def _together(counts: Iterable[_Count]) -> _Count:
    total = _Count()
    for count in counts:
        total.add(count)
    return total


def _groups(kinds: Mapping[str, _Count]) -> dict[str, object]:
    groups: dict[str, list[_Count]] = {}
    for kind, group in KINDS.items():
        if kind in kinds:
            groups.setdefault(group, []).append(kinds[kind])
    return {group: _together(counts).report() for group, counts in groups.items()}


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def wilson(part: int, whole: int) -> list[float] | None:
    """Return the 95 % interval of a share by Wilson's score, None where there is nothing to share."""
    if not whole:
        return None
    share = part / whole
    centre = share + _Z**2 / (2 * whole)
    half = _Z * math.sqrt(share * (1 - share) / whole + _Z**2 / (4 * whole**2))
    scale = 1 + _Z**2 / whole
    return [round(max(0.0, (centre - half) / scale), 4), round(min(1.0, (centre + half) / scale), 4)]
