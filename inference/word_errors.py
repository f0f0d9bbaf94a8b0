"""Word and character error rates of Vietnamese transcripts, and the normalisation under them.

Both texts pass the same rule before they are compared: Unicode NFC, lower case,
digits read out as words, punctuation removed, and the tone mark of an open `oa`,
`oe`, `uy` put on its second vowel (`hòa` and `hoà` are one word written two ways).
Spelling that changes a letter (`kĩ`/`kỹ`) stays an error.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIGITS: Final = ("không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín")
_TONES: Final = ("\u0300", "\u0301", "\u0303", "\u0309", "\u0323")
_SCALES: Final = ("", "nghìn", "triệu", "tỷ")
_LARGEST_READ_OUT: Final = 10**12
_OPEN_VOWELS: Final = (("o", "a"), ("o", "e"), ("u", "y"))
_TONE_PLACES: Final = {
    unicodedata.normalize("NFC", first + tone) + second: first + unicodedata.normalize("NFC", second + tone)
    for first, second in _OPEN_VOWELS
    for tone in _TONES
}
_MISPLACED = re.compile("(" + "|".join(_TONE_PLACES) + r")\b")
_NUMBER = re.compile(r"\d{1,3}(?:[.,]\d{3})+(?!\d)|\d+")
_NOT_WORD = re.compile(r"[^\w\s]|_")


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """Edits between a reference and a hypothesis.

    Attributes:
        errors: Substitutions, deletions and insertions.
        length: Units (words or characters) of the reference.
    """

    errors: int = 0
    length: int = 0

    def __add__(self, other: ErrorCount) -> ErrorCount:
        """Return the counts of both texts together."""
        return ErrorCount(self.errors + other.errors, self.length + other.length)

    @property
    def rate(self) -> float:
        """Errors per reference unit; 0 when both are empty, otherwise it may exceed 1."""
        if self.length == 0:
            return 0.0 if self.errors == 0 else float(self.errors)
        return self.errors / self.length


def normalise(text: str) -> str:
    """Return the form of `text` in which transcripts are compared."""
    lowered = unicodedata.normalize("NFC", text).lower()
    spoken = _NUMBER.sub(lambda found: f" {_read_out(found.group())} ", lowered)
    words = _NOT_WORD.sub(" ", spoken).split()
    return _MISPLACED.sub(lambda found: _TONE_PLACES[found.group()], " ".join(words))


def word_errors(reference: str, hypothesis: str) -> ErrorCount:
    """Count the word edits between two texts after normalisation."""
    expected = normalise(reference).split()
    return ErrorCount(_distance(expected, normalise(hypothesis).split()), len(expected))


def character_errors(reference: str, hypothesis: str) -> ErrorCount:
    """Count the character edits (spaces included) between two texts after normalisation."""
    expected = normalise(reference)
    return ErrorCount(_distance(expected, normalise(hypothesis)), len(expected))


def _distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return the Levenshtein distance of two sequences."""
    row = list(range(len(hypothesis) + 1))
    for position, expected in enumerate(reference, start=1):
        diagonal, row[0] = row[0], position
        for column, heard in enumerate(hypothesis, start=1):
            diagonal, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, diagonal + (expected != heard)),
            )
    return row[-1]


def _read_out(number: str) -> str:
    """Read a written number: as a number, or digit by digit where it is a code (leading zero, very long)."""
    digits = re.sub(r"\D", "", number)
    if (len(digits) > 1 and digits[0] == "0") or int(digits) >= _LARGEST_READ_OUT:
        return " ".join(_DIGITS[int(digit)] for digit in digits)
    value = int(digits)
    if value == 0:
        return _DIGITS[0]
    groups: list[int] = []
    while value:
        value, group = divmod(value, 1000)
        groups.append(group)
    words: list[str] = []
    for scale in range(len(groups) - 1, -1, -1):
        if groups[scale]:
            words += [*_read_group(groups[scale], leading=scale == len(groups) - 1), _SCALES[scale]]
    return " ".join(word for word in words if word)


def _read_group(value: int, *, leading: bool) -> list[str]:
    """Read a number below 1,000; inside a larger number its hundreds are always said."""
    hundreds, rest = divmod(value, 100)
    tens, units = divmod(rest, 10)
    words: list[str] = []
    if hundreds or not leading:
        words += [_DIGITS[hundreds], "trăm"]
    if tens == 0:
        if units and words:
            words.append("linh")
    elif tens == 1:
        words.append("mười")
    else:
        words += [_DIGITS[tens], "mươi"]
    if units:
        words.append(_unit(tens, units))
    return words


def _unit(tens: int, units: int) -> str:
    """Return the word of a unit digit, which changes after the tens."""
    if tens > 1 and units == 1:
        return "mốt"
    if tens > 0 and units == 5:  # noqa: PLR2004 - the digit five has a form of its own after tens
        return "lăm"
    return _DIGITS[units]
