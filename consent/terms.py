"""The terms behind a notice: versioned documents in all languages, named in a record by their hash.

A record would grow fourfold if it repeated them. It keeps id, version and SHA-256; whoever
reads it finds the same document on the shelf of the release, byte for byte, or is told.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from importlib import resources
from typing import Annotated, Any, ClassVar, Final

import rfc8785
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from consent.errors import NoticeError
from consent.purpose import Purpose
from consent.record import Code, Language, Line, Parties, TermsReference

_STRICT: Final = ConfigDict(extra="forbid")
_LANGUAGES: Final = frozenset({"vi", "en"})


def _complete(words: Mapping[str, str]) -> Mapping[str, str]:
    if missing := _LANGUAGES - words.keys():
        raise ValueError(f"no words in {', '.join(sorted(missing))}")
    return words


Words = Annotated[Mapping[Language, Line], AfterValidator(_complete)]
"""One sentence in each language."""


@dataclass(frozen=True, slots=True)
class LegalBasis:
    """A law that makes the processing lawful; `law` is its id in `consent/law`."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    law: Code
    words: Words


@dataclass(frozen=True, slots=True)
class Retention:
    """How long one category is kept; 0 days: never stored."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    category: Code
    days: Annotated[int, Field(ge=0, le=36_500)]


@dataclass(frozen=True, slots=True)
class Terms:
    """Why it is lawful, what is done, where and how long it is kept, what the citizen can do.

    Attributes:
        parties: The agency's own name and contact; not part of the hashed document.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    terms_id: Code
    version: Code
    in_force_from: date
    legal_basis: Annotated[tuple[LegalBasis, ...], Field(min_length=1)]
    purposes: Mapping[Purpose, Words]
    processing: Annotated[tuple[Code, ...], Field(min_length=1)]
    human_oversight: Words
    authority: Words
    recipients: Annotated[tuple[Words, ...], Field(min_length=1)]
    storage_place: Words
    retention: Annotated[tuple[Retention, ...], Field(min_length=1)]
    withdrawal_methods: Annotated[tuple[Code, ...], Field(min_length=1)]
    rights: Annotated[tuple[Code, ...], Field(min_length=1)]
    rights_notice: Words
    controller: Words
    contact: Words
    parties: Parties | None = None

    def canonical(self) -> bytes:
        """Return the document as RFC 8785 canonical JSON: the bytes whose hash a record keeps."""
        document: dict[str, Any] = _adapter().dump_python(self, mode="json")
        del document["parties"]
        return rfc8785.dumps(document)

    def reference(self) -> TermsReference:
        """Return what a record keeps of these terms."""
        return TermsReference(self.terms_id, self.version, hashlib.sha256(self.canonical()).hexdigest())

    def agency(self) -> Parties:
        """Return who processes: the agency that was named, or the words of the document."""
        return self.parties or Parties(self.controller["vi"], None, self.contact["vi"])


def load_terms(
    *, controller: str | None = None, contact: str | None = None, processor: str | None = None
) -> Terms:
    """Return the newest terms of this release, with the agency's own name and contact."""
    terms = max(_shipped(), key=lambda item: (item.in_force_from, _order(item.version)))
    agency = terms.agency()
    return replace(
        terms, parties=Parties(controller or agency.controller, processor, contact or agency.contact)
    )


def find_terms(reference: TermsReference) -> Terms:
    """Return the document that a record refers to.

    Raises:
        NoticeError: It is not in this release, or was edited after it was published.
    """
    for terms in _shipped():
        if (terms.terms_id, terms.version) == (reference.terms_id, reference.version):
            if terms.reference() == reference:
                return terms
            raise NoticeError(
                f"terms {terms.terms_id} {terms.version} are not those of the record: their file was edited "
                "after it was published. Restore it."
            )
    raise NoticeError(
        f"terms {reference.terms_id} {reference.version} are not in this release; published versions are "
        "never removed: restore their file"
    )


def parse_terms(name: str, text: str) -> Terms:
    """Read terms from TOML.

    Raises:
        NoticeError: They are incomplete; the message names file and field.
    """
    try:
        return _adapter().validate_python(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise NoticeError(f"{name} does not hold terms: {error}. Correct the file.") from error


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


@cache
def _adapter() -> TypeAdapter[Terms]:
    return TypeAdapter(Terms)


@cache
def _shipped() -> tuple[Terms, ...]:
    folder = resources.files("consent").joinpath("notices")
    names = sorted(item.name for item in folder.iterdir() if re.fullmatch(r"terms-.+\.toml", item.name))
    return tuple(parse_terms(name, folder.joinpath(name).read_text("utf-8")) for name in names)
