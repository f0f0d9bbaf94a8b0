"""The name and word lists of redaction, read once from the folder `name_lists`.

A list file holds sections `[name]` with words apart by spaces, phrases apart by `/`, or
lines `first: second second` for pairs; lines that begin with "#" are notes. The lists are
facts (surnames, given-name syllables, provinces) and words of sentences of our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from inference.phrases import PhraseBook

_FOLDER: Final = Path(__file__).parent / "name_lists"


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Syllables and phrases, lower case and composed (NFC).

    Attributes:
        sure_surnames: Surnames that are hardly another word.
        weak_surnames: Surnames that are ordinary words too.
        minority_surnames: Family and clan names of other peoples of Vietnam.
        particles: What stands between such a family name and a given name ("a", "thị").
        leads: What begins a given name by itself ("y", "ka", "h").
        sure_middles: Middle names that are hardly another word after a surname.
        middles: Middle names.
        sure_given: Given names that are no other word after a title.
        title_given: The same and those that may be another word, told by the word after them.
        given: Every syllable of a given name.
        kin_numbers: Orders of birth by which people are called ("chú năm").
        ordinary: Words of talk that names nobody.
        ordinary_pairs: Two words that begin like a name and are none.
        provinces: Provinces and large cities.
        long_places: Names of places and streets of three syllables and more.
    """

    sure_surnames: frozenset[str]
    weak_surnames: frozenset[str]
    minority_surnames: frozenset[str]
    particles: frozenset[str]
    leads: frozenset[str]
    sure_middles: frozenset[str]
    middles: frozenset[str]
    sure_given: frozenset[str]
    title_given: frozenset[str]
    given: frozenset[str]
    kin_numbers: frozenset[str]
    ordinary: frozenset[str]
    ordinary_pairs: frozenset[tuple[str, str]]
    provinces: PhraseBook
    long_places: PhraseBook

    def is_surname(self, token: str) -> bool:
        """Tell whether the token is a surname of any kind."""
        return token in self.sure_surnames or token in self.weak_surnames or token in self.minority_surnames

    def sounds_like_a_name(self, token: str) -> bool:
        """Tell whether the token is a name syllable or no word of ordinary talk."""
        if token in self.given or token in self.middles or self.is_surname(token):
            return True
        return token not in self.ordinary and token.isalpha()


@cache
def lexicon() -> Lexicon:
    """Read the lists; later calls return the same object."""
    surnames = _sections("surnames.txt")
    given = _sections("given_names.txt")
    ordinary = _sections("ordinary.txt")
    places = _sections("places.txt")
    sure_given = _words(given["sure"])
    title_given = sure_given | _words(given["ambiguous"])
    middles = _words(given["middle"])
    pairs = [line.partition(":") for line in ordinary["pairs"]]
    return Lexicon(
        sure_surnames=_words(surnames["sure"]),
        weak_surnames=_words(surnames["weak"]),
        minority_surnames=_words(surnames["minority"]),
        particles=_words(surnames["minority_particle"]),
        leads=_words(surnames["minority_lead"]),
        sure_middles=_words(given["sure_middle"]),
        middles=middles,
        sure_given=sure_given,
        title_given=title_given,
        given=title_given | _words(given["inner"]),
        kin_numbers=_words(given["kin_number"]),
        ordinary=_words(ordinary["words"]),
        ordinary_pairs=frozenset((first, second) for first, _, rest in pairs for second in rest.split()),
        provinces=PhraseBook("/".join(places["provinces"])),
        long_places=PhraseBook("/".join(places["long_names"])),
    )


def _words(lines: list[str]) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


def _sections(name: str) -> Mapping[str, list[str]]:
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in (_FOLDER / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            lines = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return sections
