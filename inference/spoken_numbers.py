"""Numbers as Vietnamese people say them, found in lower-case unpunctuated text.

A recogniser writes "không chín một hai" for 0912, "ba mươi mốt" for 31 and "hai
trăm linh năm" for 205, in northern and southern words, now and then with a wrong
tone. A `Run` is one unbroken stretch of such words and the digits that were heard.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DIGITS: Final = {
    "không": "0",
    "hông": "0",
    "một": "1",
    "mốt": "1",
    "hai": "2",
    "ba": "3",
    "bốn": "4",
    "tư": "4",
    "năm": "5",
    "lăm": "5",
    "nhăm": "5",
    "sáu": "6",
    "xáu": "6",
    "bảy": "7",
    "bẩy": "7",
    "tám": "8",
    "chín": "9",
}
"""Digit words, with what recognisers and dialects make of them."""
NUMBER_WORDS: Final = frozenset(DIGITS)
_UNSURE: Final = frozenset({"không", "hông", "ba", "tư", "năm", "hai"})
"""Digit words that are ordinary words too; alone they never start evidence of a number."""
_TEN: Final = "mười"
_TENS: Final = frozenset({"mươi", "mưới", "chục"})
_SHORT_TENS: Final = {"hăm": "2", "băm": "3"}
_HUNDRED: Final = frozenset({"trăm", "chăm", "tram"})
_LINK: Final = frozenset({"linh", "lẻ", "lẽ"})
_MAGNITUDE: Final = frozenset({"nghìn", "ngàn", "ngìn", "triệu", "chiệu", "tỷ", "tỉ", "vạn", "k"})
_HALF: Final = frozenset({"rưỡi", "rưởi", "rữi"})
_PAUSE: Final = _words(
    """
ạ à ờ ừ ừm ơ rồi dạ vâng chấm phẩy gạch ngang dưới xẹt xuyệt xiên sẹt suyệt trên số con cộng trừ kế tiếp xong
đúp kép nha nhé
"""
)
"""Words that people put between the groups of a long number."""
LETTERS: Final = _words(
    """
a b bê bờ c xê cê cờ d dê dờ đ đê đờ e ép en f g gờ giê gi h hát hờ i k ka ca l lờ eo em m mờ n nờ o
ô ơ p pê pờ q quy r rờ s sờ ét t tê tờ u ư v vê vờ x ích xờ y z dét zét hắc hắt xì rét giét đúp kê rô zê
"""
)
"""Names of letters inside plates and dossier codes."""
_MAX_PAUSE: Final = 2
_MAX_LETTERS: Final = 3
"""Words of the longest name of a letter inside a number: "i cờ rét"."""
_COUNTED: Final = frozenset({"số", "con", "rồi", "thì"})
"""Pause words that go on with a number only once enough of it was heard ("ba số tám")."""
_LONG_ENOUGH: Final = 3


def _toneless(word: str) -> str:
    flat = unicodedata.normalize("NFD", word.replace("đ", "d"))
    return "".join(letter for letter in flat if not unicodedata.combining(letter))


_NEAR: Final = frozenset(_toneless(word) for word in DIGITS) | {"muoi", "tram", "linh"}
_BY_TONELESS: Final = {_toneless(word): word for word in (*DIGITS, _TEN)}
_WRONG_TONE: Final = 4
"""How many number words in a row make a near word between them a number word."""
_NO_TONES: Final = 6
"""How many toneless number words in a row are believed with no true one among them."""
_DENIAL: Final = "chẳng"
_MOST: Final = 2 / 3
_MERGED: Final = re.compile("(?:" + "|".join(sorted(DIGITS, key=len, reverse=True)) + "){2,}")
_DIGIT_WORD: Final = re.compile("|".join(sorted(DIGITS, key=len, reverse=True)))
_DIGIT_INSIDE: Final = re.compile(r"\d")
_NO_ZERO_BEFORE: Final = frozenset({"phải", "nhầm", "nhớ", "biết", "đúng"})
"""After "không" these make it the word "not"."""

_DENIED: Final = _NO_ZERO_BEFORE | _words("có được gọi sang thấy còn dùng nghe liên")
"""Verbs that "không" denies after a number that was whole."""
_WHOLE: Final = (10, 12)
"""Digits of a telephone number and of a citizen's."""


@dataclass(frozen=True, slots=True)
class Run:
    """One unbroken stretch of number words.

    Attributes:
        start: Index of its first token.
        end: Index after its last token.
        digits: The digits heard, such as "0912" for "không chín một hai".
        by_digit: Whether every digit was read alone, as identifiers are.
        amount: Whether a word such as "nghìn" makes it a quantity.
        leading: How many digits were read alone before anything else.
    """

    start: int
    end: int
    digits: str
    by_digit: bool
    amount: bool
    leading: int


def _is_number(token: str) -> bool:
    return (
        token in DIGITS
        or token == _TEN
        or token in _TENS
        or token in _SHORT_TENS
        or token in _HUNDRED
        or _DIGIT_INSIDE.search(token) is not None
        or _MERGED.fullmatch(token) is not None
    )


def _continues(token: str) -> bool:
    return _is_number(token) or token in _LINK or token in _MAGNITUDE or token in _HALF


def _bridge(tokens: Sequence[str], at: int, heard: int) -> int:
    """Return where the number goes on after a pause word, a letter or a misheard digit, else `at`."""
    for gap in range(1, _MAX_LETTERS + 1):
        after = at + gap
        if after >= len(tokens) or not _is_number(tokens[after]):
            continue
        between = tokens[at:after]
        if gap > _MAX_PAUSE and not all(word in LETTERS for word in between):
            continue
        # "không ba con tám năm một": what counts a row of one digit is followed by more of the number.
        goes_on = heard > 1 and _row(tokens, after) >= _LONG_ENOUGH
        counted = heard < _LONG_ENOUGH and not goes_on and any(word in _COUNTED for word in between)
        soft = not counted and all(
            word in _PAUSE or word in LETTERS or _toneless(word) in _NEAR for word in between
        )
        # A wrong word in the middle of a long read-out belongs to it: two digits before, two after.
        enough = 2
        firm = (
            heard >= enough
            and after + 1 < len(tokens)
            and _is_number(tokens[after + 1])
            and tokens[after] not in _UNSURE | {"mươi"}
            and gap == 1
            and heard + 1 >= enough * 2
        )
        if soft or firm:
            return after
    return at


def _row(tokens: Sequence[str], at: int) -> int:
    """Return how many number words follow each other from `at`."""
    end = at
    while end < len(tokens) and _is_number(tokens[end]):
        end += 1
    return end - at


def _ends_at(tokens: Sequence[str], start: int) -> int:
    """Return the index after the last token of the run that starts at `start`."""
    at = start
    while at < len(tokens):
        if _continues(tokens[at]):
            at += 1
            continue
        onward = _bridge(tokens, at, at - start)
        if onward == at:
            break
        at = onward
    return at


def _heard(tokens: Sequence[str]) -> tuple[str, int]:
    """Return the digits of a run's tokens and how many were read alone at its start."""
    digits: list[str] = []
    leading = 0
    alone = True
    at = 0
    while at < len(tokens):
        token = tokens[at]
        following = tokens[at + 1] if at + 1 < len(tokens) else ""
        after = tokens[at + 2] if at + 2 < len(tokens) else ""
        step = 1
        if token in DIGITS and following in _TENS:
            unit = DIGITS.get(after)
            digits += [DIGITS[token], unit or "0"]
            step = 3 if unit else 2
            alone = False
        elif token in DIGITS and following in _HUNDRED:
            digits.append(DIGITS[token])
            step = 2
            alone = False
            if after not in DIGITS and after not in _LINK and after != _TEN:
                digits += ["0", "0"]
        elif token == _TEN or token in _SHORT_TENS:
            unit = DIGITS.get(following)
            digits += [_SHORT_TENS.get(token, "1"), unit or "0"]
            step = 2 if unit else 1
            alone = False
        elif token in DIGITS:
            digits.append(DIGITS[token])
            leading += alone
        elif token in _LINK:
            digits.append("0")
            alone = False
        elif token in _MAGNITUDE or token in _HALF:
            alone = False
        else:
            several = _digits_inside(token)
            digits += several
            leading += len(several) * alone
        at += step
    return "".join(digits), leading


def _digits_inside(token: str) -> list[str]:
    """Return the digits of a token that holds several: "0912", "29a", "khôngchín"."""
    written = _DIGIT_INSIDE.findall(token)
    if not written and _MERGED.fullmatch(token):
        return [DIGITS[word] for word in _DIGIT_WORD.findall(token)]
    return written


def restored(tokens: Sequence[str]) -> list[str]:
    """Give number words that were heard without or with a wrong tone their own form.

    Only inside a row of number words: "sau" is a word of its own, "chin sau nam bay mot hai"
    is a number. The result has as many tokens as the input.
    """
    read = list(tokens)
    at = 0
    while at < len(read):
        if not _is_number(read[at]) and _toneless(read[at]) not in _BY_TONELESS:
            at += 1
            continue
        end = at
        while end < len(read) and (_is_number(read[end]) or _toneless(read[end]) in _BY_TONELESS):
            end += 1
        true = [index for index in range(at, end) if _is_number(read[index])]
        if end - at >= _NO_TONES and all(token.isascii() for token in read[at:end]):
            first, last = at, end
        elif true and len(true) >= _MOST * (true[-1] + 1 - true[0]) and true[-1] - true[0] + 1 >= _WRONG_TONE:
            first, last = true[0], true[-1] + 1
        else:
            first = last = at
        for index in range(first, last):
            if not _is_number(read[index]):
                read[index] = _BY_TONELESS[_toneless(read[index])]
        at = end
    # "không phải ba" denies, it does not count.
    for index, token in enumerate(tokens[:-1]):
        counts = index > 0 and _is_number(tokens[index - 1])
        if token in {"không", "hông"} and tokens[index + 1] in _NO_ZERO_BEFORE and not counts:
            read[index] = _DENIAL
    return read


def is_number_word(token: str) -> bool:
    """Tell whether a token stands inside numbers: digits, tens, hundreds, magnitudes, links."""
    return _continues(token)


def digits_of(tokens: Sequence[str]) -> str:
    """Return the digits that a row of number words says, such as "1985"."""
    return _heard(tokens)[0]


def _without_denial(tokens: Sequence[str], start: int, end: int) -> int:
    """Return the end of a run without the "không" that denies the verb after it.

    "… bảy sáu không gọi được": the telephone or citizen number was whole without that zero.
    """
    if end >= len(tokens) or tokens[end - 1] != "không" or tokens[end] not in _DENIED:
        return end
    digits = _heard(tokens[start : end - 1])[0]
    whole = digits.startswith("0") and len(digits) in _WHOLE
    return end - 1 if whole else end


def find_runs(tokens: Sequence[str]) -> tuple[Run, ...]:
    """Find the stretches of number words in a sequence of lower-case tokens.

    Args:
        tokens: Syllables, lower case, composed (NFC), without punctuation.
    """
    tokens = restored(tokens)
    runs: list[Run] = []
    at = 0
    while at < len(tokens):
        if not _is_number(tokens[at]):
            at += 1
            continue
        end = _ends_at(tokens, at)
        end = _without_denial(tokens, at, end)
        inside = tokens[at:end]
        digits, leading = _heard(inside)
        amount = any(token in _MAGNITUDE or token in _HALF for token in inside)
        runs.append(
            Run(
                at,
                end,
                digits,
                by_digit=leading == len(digits) and bool(digits),
                amount=amount,
                leading=leading,
            )
        )
        at = max(end, at + 1)
    return tuple(runs)
