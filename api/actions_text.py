"""What people write about an action: what may not be in it, and what looks like somebody's name.

A note is about a counter, never about a person. What is certainly about one (an address, a long number) is
refused; what looks like a name is asked about, since *Lê Lợi* is a street as often as a person.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from api.errors import CaseRefused

LONGEST: Final = 500
SHORTEST: Final = 3
_MAIL: Final = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_LONG_NUMBER: Final = re.compile(r"(?:\d[ .\-]?){9,}")
"""Telephone numbers and those of identity cards; a date has eight digits."""
_WORD: Final = re.compile(r"[^\W\d_]+(?:/[^\W\d_]+)?\.?")
_TITLES: Final = frozenset(
    ("ông", "bà", "anh", "chị", "cô", "chú", "bác", "em", "thầy", "đ/c", "mr", "mrs", "ms", "ong", "chu")
)
_FAMILY_NAMES: Final = frozenset(
    [
        *("nguyen", "tran", "le", "pham", "hoang", "huynh", "phan", "vu", "vo", "dang", "bui", "do", "ho"),
        *("ngo", "duong", "ly", "dinh", "trinh", "dao", "mai", "truong", "lam", "ha", "doan", "cao"),
        *("luong", "luu", "ta", "chu", "vuong", "kieu", "thai", "chau", "to", "quach"),
    ]
)
_PLACES: Final = frozenset(
    ("ha noi", "ha giang", "ha nam", "ha tinh", "cao bang", "thai nguyen", "thai binh", "ho chi minh")
)
"""Provinces that begin as families do."""


def checked(text: str) -> str:
    """Return the text as it is kept: composed letters, one space between words.

    Raises:
        CaseRefused: It is too short or too long, or holds a mail address or a long number.
    """
    plain = " ".join(
        "".join(
            letter if unicodedata.category(letter)[0] != "C" else " "
            for letter in unicodedata.normalize("NFC", text)
        ).split()
    )
    if len(plain) < SHORTEST:
        raise CaseRefused("Say in a few words what was done.")
    if len(plain) > LONGEST:
        raise CaseRefused("The text has at most {most} characters.", most=LONGEST)
    if _MAIL.search(plain) or _LONG_NUMBER.search(plain):
        raise CaseRefused(
            "No mail addresses, telephone numbers or numbers of identity cards: leave them out."
        )
    return plain


def likely_names(text: str) -> tuple[str, ...]:
    """Return the parts of a text that look like the name of a person, in the order of the text."""
    words = [(found.group(), found.start(), found.end()) for found in _WORD.finditer(text)]
    names: list[str] = []
    place = 0
    while place < len(words):
        word = words[place][0]
        run = _capitals(words, place + 1, text)
        titled = word.casefold().rstrip(".") in _TITLES and run
        family = word[:1].isupper() and _bare(word) in _FAMILY_NAMES and run
        if titled or family:
            whole = text[words[place][1] : words[place + run][2]]
            if titled or _bare(whole) not in _PLACES:
                names.append(whole)
            place += run
        place += 1
    return tuple(names)


def _capitals(words: list[tuple[str, int, int]], start: int, text: str) -> int:
    """Count the capitalised words from `start` on that nothing but a space parts from those before."""
    count = 0
    while start + count < len(words) and count < 4:  # noqa: PLR2004 - no Vietnamese name is longer
        word, first, _ = words[start + count]
        parted = text[words[start + count - 1][2] : first].strip()
        if parted or not word[:1].isupper():
            break
        count += 1
    return count


def _bare(word: str) -> str:
    """Return a word in small letters without marks: `Đặng` and `dang` are the same."""
    letters = unicodedata.normalize("NFD", word.casefold().replace("đ", "d"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
