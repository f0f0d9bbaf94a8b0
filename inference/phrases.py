"""Phrases of several words, found in a sequence of tokens."""

from __future__ import annotations

from collections.abc import Sequence


class PhraseBook:
    """A set of phrases that can be looked up where they start and where they end."""

    def __init__(self, text: str) -> None:
        """Take phrases apart by "/", words apart by white space."""
        phrases = {tuple(phrase.split()) for phrase in text.split("/") if phrase.strip()}
        self._by_first: dict[str, list[tuple[str, ...]]] = {}
        self._by_last: dict[str, list[tuple[str, ...]]] = {}
        for phrase in sorted(phrases, key=lambda words: (-len(words), words)):
            self._by_first.setdefault(phrase[0], []).append(phrase)
            self._by_last.setdefault(phrase[-1], []).append(phrase)

    def length_at(self, tokens: Sequence[str], at: int) -> int:
        """Return the length of the longest phrase that starts at `at`, or 0."""
        if at >= len(tokens):
            return 0
        for phrase in self._by_first.get(tokens[at], ()):
            if tuple(tokens[at : at + len(phrase)]) == phrase:
                return len(phrase)
        return 0

    def length_before(self, tokens: Sequence[str], end: int) -> int:
        """Return the length of the longest phrase that ends right before `end`, or 0."""
        if not 0 < end <= len(tokens):
            return 0
        for phrase in self._by_last.get(tokens[end - 1], ()):
            if tuple(tokens[max(0, end - len(phrase)) : end]) == phrase:
                return len(phrase)
        return 0
