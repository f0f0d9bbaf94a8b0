"""The notices a citizen reads: versioned documents, one for each language.

A notice is rendered to fixed bytes. The page shows exactly these bytes, in order, with
nothing but the controls between its parts, and the record keeps their SHA-256.
"""

from __future__ import annotations

import hashlib
import html
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, ClassVar, Final

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from consent.errors import NoticeError
from consent.purpose import Purpose
from consent.record import Channel, Code, DataCategory, Language, Line, NoticeReference

DEFAULT_LANGUAGE: Final = "vi"
COUNTER_NOTICE: Final = "counter"
"""What is shown where image and voice are asked for."""
QUOTES_NOTICE: Final = "counter-quotes"
"""What is shown where keeping redacted quotes is asked for as well: another promise, so another notice."""
_FILE: Final = re.compile(r"\.[a-z]{2}\.toml$")
_STRONG: Final = re.compile(r"\*\*(.+?)\*\*")
_CATEGORIES: Final = {
    Purpose.IMAGE: "face-image",
    Purpose.VOICE: "voice-sample",
    Purpose.QUOTES: "redacted-quotes",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """How one purpose is put to the citizen, and the sentence that says it is sensitive."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    label: Line
    sentence: Line


@dataclass(frozen=True, slots=True)
class Notice:
    """One version of the notice in one language."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    notice_id: Code
    version: Code
    language: Language
    in_force_from: date
    question: Line
    paragraphs: Annotated[tuple[Line, ...], Field(min_length=1)]
    agree: Line
    refuse: Line
    choices: Mapping[Purpose, Choice]

    def opening(self) -> str:
        """Return the question and its explanation as HTML."""
        lines = [f'<h1 id="question">{_inline(self.question)}</h1>']
        lines += [f"<p>{_inline(paragraph)}</p>" for paragraph in self.paragraphs]
        return "\n".join(lines) + "\n"

    def choice(self, purpose: Purpose) -> str:
        """Return the words of one purpose as HTML.

        Raises:
            NoticeError: This version does not ask for that purpose.
        """
        words = self.choices.get(purpose)
        if words is None:
            raise NoticeError(
                f"notice {self.notice_id} {self.version} ({self.language}) has no words for {purpose}; "
                "publish a version that asks for it"
            )
        label, sentence = _inline(words.label), _inline(words.sentence)
        return f'<span class="choice-label">{label}</span>\n<span class="choice-sentence">{sentence}</span>\n'

    def rendered(self, purposes: Iterable[Purpose]) -> bytes:
        """Return the bytes that the citizen is shown when asked for `purposes`."""
        answers = f"<span>{_inline(self.agree)}</span>\n<span>{_inline(self.refuse)}</span>\n"
        return "".join([self.opening(), *(self.choice(purpose) for purpose in purposes), answers]).encode()

    def reference(self, purposes: Iterable[Purpose], channel: Channel = Channel.KIOSK) -> NoticeReference:
        """Return the reference that a record keeps, with the hash of the rendered bytes."""
        digest = hashlib.sha256(self.rendered(purposes)).hexdigest()
        return NoticeReference(self.notice_id, self.version, digest, self.language, channel)

    def categories(self, purposes: Iterable[Purpose]) -> tuple[DataCategory, ...]:
        """Return the categories of data behind `purposes`, with the sentence shown for each."""
        return tuple(
            DataCategory(_CATEGORIES[purpose], sensitive=True, sentence=self.choices[purpose].sentence)
            for purpose in purposes
        )


class NoticeShelf:
    """All versions of the notice, in all languages."""

    def __init__(self, notices: Iterable[Notice]) -> None:
        """Put notices on the shelf."""
        self._notices = {(item.notice_id, item.version, item.language): item for item in notices}
        names = {COUNTER_NOTICE, *(item.notice_id for item in self._notices.values())}
        names -= {item.notice_id for item in self._notices.values() if item.language == DEFAULT_LANGUAGE}
        if names:
            raise NoticeError(
                f"there is no notice {', '.join(sorted(names))} in '{DEFAULT_LANGUAGE}', the language every "
                "counter starts in"
            )

    @classmethod
    def load(cls, folder: Path | None = None) -> NoticeShelf:
        """Read the notices of a folder, or those of this release.

        Raises:
            NoticeError: A file is not a notice; the message names file and field.
        """
        if folder is None:
            return _shipped()
        paths = sorted(path for path in folder.iterdir() if _FILE.search(path.name))
        return cls([_parse(path.name, path.read_text("utf-8")) for path in paths])

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages there are, Vietnamese first."""
        found = {item.language for item in self._notices.values()}
        return tuple(sorted(found, key=lambda language: (language != DEFAULT_LANGUAGE, language)))

    def published(self) -> tuple[Notice, ...]:
        """Return every version in every language, oldest first, Vietnamese before the others."""
        order = {language: place for place, language in enumerate(self.languages)}
        return tuple(
            sorted(
                self._notices.values(),
                key=lambda item: (
                    item.notice_id,
                    item.in_force_from,
                    _order(item.version),
                    order[item.language],
                ),
            )
        )

    def get(self, notice_id: str, version: str, language: str) -> Notice:
        """Return one exact notice.

        Raises:
            NoticeError: It is not on the shelf.
        """
        try:
            return self._notices[notice_id, version, language]
        except KeyError:
            raise NoticeError(
                f"notice {notice_id} {version} in '{language}' is not on the shelf; published versions are "
                "never removed: restore its file"
            ) from None

    def asking(self, language: str, purposes: Iterable[Purpose]) -> Notice:
        """Return the newest notice that asks for these purposes.

        Raises:
            NoticeError: There is none in that language.
        """
        return self.current(language, QUOTES_NOTICE if Purpose.QUOTES in purposes else COUNTER_NOTICE)

    def current(self, language: str, notice_id: str = COUNTER_NOTICE) -> Notice:
        """Return the newest version in a language.

        Raises:
            NoticeError: There is none.
        """
        found = [
            item
            for item in self._notices.values()
            if (item.notice_id, item.language) == (notice_id, language)
        ]
        if not found:
            raise NoticeError(f"there is no notice '{notice_id}' in '{language}'; there is: {self.languages}")
        return max(found, key=lambda item: (item.in_force_from, _order(item.version)))

    def check(self, reference: NoticeReference, purposes: Iterable[Purpose]) -> None:
        """Check that a re-render of the referenced version gives the stored hash.

        Raises:
            NoticeError: It does not, or the version is gone.
        """
        notice = self.get(reference.notice_id, reference.version, reference.language)
        if notice.reference(purposes, reference.channel) != reference:
            raise NoticeError(
                f"notice {reference.notice_id} {reference.version} ({reference.language}) is not the one "
                "that was shown: its file was edited after it was published. Restore it."
            )


def _inline(text: str) -> str:
    return _STRONG.sub(r"<strong>\1</strong>", html.escape(text, quote=False))


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _parse(name: str, text: str) -> Notice:
    try:
        return TypeAdapter(Notice).validate_python(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise NoticeError(f"{name} is not a notice: {error}. Correct the file.") from error


@cache
def _shipped() -> NoticeShelf:
    folder = resources.files("consent").joinpath("notices")
    names = sorted(item.name for item in folder.iterdir() if _FILE.search(item.name))
    return NoticeShelf([_parse(name, folder.joinpath(name).read_text("utf-8")) for name in names])
