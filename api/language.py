"""Languages of the pages: English in the source, Vietnamese first on the screen.

Catalogues are read from their text form at start, so a fresh clone needs no compiled file.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable
from datetime import date, datetime
from importlib.resources import files
from typing import Final

from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

from api.trends import local_time

LANGUAGES: Final = {"vi": "Tiếng Việt", "en": "English"}
"""Code -> the language's own name."""
_WEIGHT: Final = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
_MOST_ASKED: Final = 20


@functools.cache
def translations(language: str) -> NullTranslations:
    """Return the catalogue of a language; English is the source itself."""
    if language == "en":
        return NullTranslations()
    text = files("api").joinpath("translations", f"{language}.po").read_bytes()
    compiled = io.BytesIO()
    write_mo(compiled, read_po(io.BytesIO(text), locale=language))
    compiled.seek(0)
    return Translations(compiled)


def gettext_of(language: str) -> Callable[[str], str]:
    """Return the function that translates into a language."""
    return translations(language).gettext


def language_asked(header: str, default: str) -> str:
    """Return the language of ours that an Accept-Language header likes best, else the default."""
    best, liked = default, 0.0
    for part in header.split(",")[:_MOST_ASKED]:
        tag, _, weight = part.strip().partition(";")
        found = _WEIGHT.fullmatch(weight.strip()) if weight else None
        much = 1.0 if not weight else float(found[1]) if found else 0.0
        language = tag.strip().casefold().split("-")[0]
        if language in LANGUAGES and much > liked:
            best, liked = language, much
    return best


def day_text(day: date, language: str) -> str:
    """Return a day as people of the language write it."""
    return format_date(day, "EEE d/M/y" if language == "vi" else "EEE d MMM y", locale=language)


def month_text(first: date, language: str) -> str:
    """Return a month as people of the language write it."""
    return format_date(first, "'tháng' M 'năm' y" if language == "vi" else "MMMM y", locale=language)


def decimal_text(plain: str, language: str) -> str:
    """Return a figure with the decimal mark of the language."""
    return plain.replace(".", ",") if language == "vi" else plain


def moment_text(moment: datetime | None, language: str) -> str:
    """Return a moment as Vietnamese wall-clock time; a dash for none."""
    if moment is None:
        return "–"  # noqa: RUF001 - the dash of a range
    pattern = "HH:mm d/M/y" if language == "vi" else "d MMM y HH:mm"
    return format_datetime(local_time(moment), pattern, locale=language)
