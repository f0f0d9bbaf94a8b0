"""Reads the text of a PDF back, line by line: enough of the format for what our typesetter writes."""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

_OBJECT: Final = re.compile(rb"(?:^|\n)(\d+) 0 obj\s*(.*?)\s*endobj", re.DOTALL)
_PAIR: Final = re.compile(rb"<([0-9A-F]{4})> <([0-9A-F]+)>")
_FONT: Final = re.compile(rb"/(f\d+) (\d+) 0 R")
_MARK: Final = re.compile(
    rb"(?P<push>\bq\b)|(?P<pop>\bQ\b)|1 0 0 -1 (?P<x>[-\d.]+) (?P<y>[-\d.]+) cm"
    rb"|/(?P<font>f\d+) [\d.]+ Tf|(?P<text>\()|(?P<end>\bET\b)",
)
_PARENTHESIS: Final = re.compile(rb"\\.|[()]", re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_NAMED: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
_SAME_LINE: Final = 2.0
"""Points between what stands on one line."""


@dataclass(frozen=True, slots=True)
class _Run:
    x: float
    y: float
    text: str


def pdf_lines(data: bytes) -> tuple[tuple[str, ...], ...]:
    """Return the lines of every page from top to bottom, each as its pieces from left to right."""
    objects = {int(found[1]): found[2] for found in _OBJECT.finditer(data)}
    lines: list[tuple[str, ...]] = []
    for body in objects.values():
        if b"/Type/Page" not in body or b"/Type/Pages" in body:
            continue
        resources, contents = (
            int(found[1])
            for name in (rb"/Resources (\d+) 0 R", rb"/Contents (\d+) 0 R")
            if (found := re.search(name, body)) is not None
        )
        fonts = {
            name.decode(): _letters(objects, int(number))
            for name, number in _FONT.findall(objects[resources])
        }
        lines += _lines(_runs(_stream(objects[contents]), fonts))
    return tuple(lines)


def _stream(body: bytes) -> bytes:
    _, _, rest = body.partition(b"stream\n")
    return zlib.decompress(rest.rpartition(b"endstream")[0])


def _letters(objects: dict[int, bytes], font: int) -> dict[int, str]:
    found = re.search(rb"/ToUnicode (\d+) 0 R", objects[font])
    assert found is not None, "a font without its letters cannot be read"
    return {
        int(code, 16): bytes.fromhex(letters.decode()).decode("utf-16-be")
        for code, letters in _PAIR.findall(_stream(objects[int(found[1])]))
    }


def _runs(content: bytes, fonts: dict[str, dict[int, str]]) -> list[_Run]:
    runs: list[_Run] = []
    x = y = 0.0
    font: dict[int, str] = {}
    text = ""
    at = 0
    while (mark := _MARK.search(content, at)) is not None:
        at = mark.end()
        if mark["x"] is not None:
            x, y = float(mark["x"]), float(mark["y"])
        elif mark["font"] is not None:
            font = fonts[mark["font"].decode()]
        elif mark["text"] is not None:
            begun, at = at, _closed(content, at)
            codes = _ESCAPE.sub(_plain, content[begun : at - 1])
            text += "".join(font[int.from_bytes(codes[n : n + 2])] for n in range(0, len(codes), 2))
        elif mark["end"] is not None:
            runs.append(_Run(x, y, text))
            text = ""
    return runs


def _closed(content: bytes, at: int) -> int:
    """Return where a string ends that began before `at`: parentheses in pairs stand in it plain."""
    depth = 1
    for found in _PARENTHESIS.finditer(content, at):
        depth += {b"(": 1, b")": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    raise AssertionError("a string of the page does not end")


def _plain(found: re.Match[bytes]) -> bytes:
    mark = found[1]
    return bytes([int(mark, 8)]) if mark[:1].isdigit() else _NAMED.get(mark, mark)


def _lines(runs: list[_Run]) -> list[tuple[str, ...]]:
    rows: dict[float, list[_Run]] = defaultdict(list)
    for run in runs:
        near = next((y for y in rows if abs(y - run.y) < _SAME_LINE), run.y)
        rows[near].append(run)
    return [
        tuple(run.text for run in sorted(row, key=lambda run: run.x))
        for _, row in sorted(rows.items(), key=lambda item: -item[0])
    ]
