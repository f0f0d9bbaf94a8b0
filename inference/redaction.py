"""Take out who somebody is before anything else sees the text.

The input is what a recogniser gives: lower case, no punctuation, numbers as words.
Numbers that identify, names, addresses, dates of birth and e-mail addresses become
fixed tokens such as `<số>`. Amounts, durations and counts stay ("hai tiếng", "năm
mươi nghìn"): they are evidence and name nobody.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from inference import redaction_words as words
from inference.spoken_numbers import LETTERS, NUMBER_WORDS, Run, find_runs

_LONG: Final = 6
_BY_DIGIT: Final = 4
_ALONE: Final = 3
_AFTER_CUE: Final = 2
_CERTAIN: Final = 8
_YEAR_DIGITS: Final = 4
_CUE_REACH: Final = 6
_MOSTLY: Final = 0.75
_MAX_GIVEN: Final = 3
_SHORTEST: Final = 2
_SURE_MIDDLES: Final = frozenset({"văn", "thị", "đình", "hữu"})
_MAX_PLACE: Final = 2
_MAX_LOCAL: Final = 8
_TOKEN: Final = re.compile(r"[^\W_]+(?:[@+][^\W_]+)*|[+@]?[^\W_]+|<[^\s<>]+>")
_WRITTEN_MAIL: Final = re.compile(r"\S+@\S+\.\S+")
_WRITTEN_NUMBER: Final = re.compile(r"(?<=\d)[.\-\s](?=\d)")
_MAIL_MARK: Final = "<thư>"


class Kind(StrEnum):
    """What a redacted span was; the value is the token that stands in its place."""

    NUMBER = "<số>"
    NAME = "<tên>"
    ADDRESS = "<địa_chỉ>"
    BIRTH = "<ngày_sinh>"
    EMAIL = "<thư>"


@dataclass(frozen=True, slots=True)
class Span:
    """A redacted stretch of tokens: kind, index of the first, index after the last."""

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Redacted:
    """A redacted text.

    Attributes:
        text: The text with a fixed token for each span; what may be handed on.
        spans: What was taken out, as indices into the tokens of the input.
        tokens: How many tokens the input had.
    """

    text: str
    spans: tuple[Span, ...]
    tokens: int


def tokenise(text: str) -> list[str]:
    """Split text into lower-case composed tokens without punctuation."""
    plain = unicodedata.normalize("NFC", text).lower()
    plain = _WRITTEN_MAIL.sub(_MAIL_MARK, plain)
    plain = _WRITTEN_NUMBER.sub(" ", plain)
    return _TOKEN.findall(plain)


def redact(text: str, *, spoken_numbers: bool = True) -> Redacted:
    """Replace what identifies a person by fixed tokens.

    Args:
        text: An utterance; lower case without punctuation, or written text.
        spoken_numbers: Read number words. Without it only written digits count;
            kept to show in the evaluation what the normalisation is worth.
    """
    tokens = tokenise(text)
    taken: list[Span] = []
    runs = find_runs(tokens) if spoken_numbers else _written_runs(tokens)
    for found in (
        _emails(tokens),
        _births(tokens, runs),
        _numbers(tokens, runs),
        _addresses(tokens),
        _names(tokens),
    ):
        for span in found:
            if not any(span.start < other.end and other.start < span.end for other in taken):
                taken.append(span)
    taken.sort(key=lambda span: span.start)
    return Redacted(_rendered(tokens, taken), tuple(taken), len(tokens))


def _rendered(tokens: Sequence[str], spans: Sequence[Span]) -> str:
    parts: list[str] = []
    at = 0
    for span in spans:
        parts += tokens[at : span.start]
        if not parts or parts[-1] != span.kind.value:
            parts.append(span.kind.value)
        at = span.end
    return " ".join([*parts, *tokens[at:]])


def _written_runs(tokens: Sequence[str]) -> tuple[Run, ...]:
    return tuple(
        Run(at, at + 1, token, by_digit=True, amount=False, leading=len(token))
        for at, token in enumerate(tokens)
        if token.isdecimal()
    )


def _phrase_at(tokens: Sequence[str], at: int, phrases: Sequence[tuple[str, ...]]) -> int:
    """Return the length of the longest phrase that starts at `at`, or 0."""
    for phrase in phrases:
        if tuple(tokens[at : at + len(phrase)]) == phrase:
            return len(phrase)
    return 0


def _phrase_before(tokens: Sequence[str], end: int, phrases: Sequence[tuple[str, ...]]) -> bool:
    """Tell whether one of the phrases ends right before `end`."""
    return any(tuple(tokens[max(0, end - len(phrase)) : end]) == phrase for phrase in phrases)


def _emails(tokens: Sequence[str]) -> Iterator[Span]:
    for at, token in enumerate(tokens):
        if token == _MAIL_MARK:
            yield Span(Kind.EMAIL, at, at + 1)
        length = _phrase_at(tokens, at, words.EMAIL_AT)
        if not length or at + length >= len(tokens) or tokens[at + length] not in words.EMAIL_DOMAIN:
            continue
        start = at
        while start > 0 and at - start < _MAX_LOCAL * 2 and tokens[start - 1] not in words.EMAIL_STOP:
            start -= 1
        end = at + length
        while end < len(tokens) and tokens[end] in words.EMAIL_DOMAIN:
            end += 1
        yield Span(Kind.EMAIL, start, end)


def _is_birth_cue(tokens: Sequence[str], at: int) -> bool:
    if tokens[at] != "sinh":
        return False
    before = tokens[at - 1] if at else ""
    after = tokens[at + 1] if at + 1 < len(tokens) else ""
    return before not in words.NOT_BIRTH_BEFORE and after not in words.NOT_BIRTH_AFTER


def _births(tokens: Sequence[str], runs: Sequence[Run]) -> Iterator[Span]:
    numeric = {at: run for run in runs for at in range(run.start, run.end)}
    for at, word in enumerate(tokens):
        if _is_birth_cue(tokens, at):
            start = at + 1
            while start < len(tokens) and start not in numeric and tokens[start] in words.BIRTH_SKIP:
                start += 1
            end = _date_end(tokens, start, numeric)
            if end > start and start in numeric:
                yield Span(Kind.BIRTH, _date_start(tokens, start, at + 1), end)
        elif word == "tháng" and at - 1 in numeric:
            start = numeric[at - 1].start
            end = _date_end(tokens, start, numeric)
            if _names_a_birth_year(tokens, at + 1, end, numeric):
                yield Span(Kind.BIRTH, _date_start(tokens, start, 0), end)


def _date_start(tokens: Sequence[str], start: int, least: int) -> int:
    while start > least and tokens[start - 1] in words.DATE_WORDS:
        start -= 1
    return start


def _date_end(tokens: Sequence[str], start: int, numeric: dict[int, Run]) -> int:
    end = start
    while end < len(tokens) and (end in numeric or tokens[end] in words.DATE_WORDS):
        end += 1
    while end > start and end - 1 not in numeric and tokens[end - 1] not in words.LUNAR:
        end -= 1
    return end


def _names_a_birth_year(tokens: Sequence[str], start: int, end: int, numeric: dict[int, Run]) -> bool:
    """Tell whether the words after "tháng" hold a year of the last century."""
    heard = "".join(
        run.digits for run in dict.fromkeys(numeric[at] for at in range(start, end) if at in numeric)
    )
    spoken = " ".join(tokens[start:end])
    return "19" in heard[1:] or heard.startswith("519") or "chín trăm" in spoken


def _numbers(tokens: Sequence[str], runs: Sequence[Run]) -> Iterator[Span]:
    known = 0
    for run in runs:
        cued = _cued(tokens, run.start, known)
        if _identifies(tokens, run, cued=cued):
            known = run.end
            start = run.start
            # Letters right before belong to a plate or code.
            while cued and start > 0 and tokens[start - 1] in LETTERS:
                start -= 1
            yield Span(Kind.NUMBER, start, run.end)


def _cued(tokens: Sequence[str], start: int, known: int) -> bool:
    """Tell whether a cue for an identifying number stands shortly before `start`."""
    at = start
    while at > 0 and start - at < _CUE_REACH:
        if _phrase_before(tokens, at, words.NUMBER_CUES):
            return True
        if at == known and known:
            return True
        if tokens[at - 1] not in words.CUE_FILLERS and tokens[at - 1] not in LETTERS:
            return False
        at -= 1
    return _phrase_before(tokens, at, words.NUMBER_CUES)


def _identifies(tokens: Sequence[str], run: Run, *, cued: bool) -> bool:
    count = len(run.digits)
    following = tokens[run.end] if run.end < len(tokens) else ""
    counted = following in words.UNITS
    if run.amount:
        return run.leading >= _LONG
    if counted:
        return count >= _CERTAIN or (cued and count >= _LONG)
    if cued or count >= _LONG:
        return count >= _AFTER_CUE
    alone = count >= _ALONE and run.end - run.start >= _MOSTLY * len(tokens)
    return run.by_digit and (count >= _BY_DIGIT or alone) and not _is_year(tokens, run)


def _is_year(tokens: Sequence[str], run: Run) -> bool:
    """Tell whether the run is "năm" and a year: the word for year is also the digit five."""
    digits = run.digits
    if tokens[run.start] == "năm":
        digits = digits[1:]
    elif run.start == 0 or tokens[run.start - 1] != "năm":
        return False
    return len(digits) == _YEAR_DIGITS and digits[:2] in {"19", "20"}


def _addresses(tokens: Sequence[str]) -> Iterator[Span]:
    at = 0
    while at < len(tokens):
        end = _place(tokens, at)
        if end == at:
            at += 1
            continue
        start, chained = at, 1
        while end < len(tokens):
            onward = _place(tokens, end, chained=True)
            if onward == end:
                break
            end, chained = onward, chained + 1
        strong = _phrase_at(tokens, start, (("số", "nhà"), ("nhà", "số"))) > 0
        if strong or chained > 1 or _anchored(tokens, start):
            yield Span(Kind.ADDRESS, start, end)
        at = end


def _anchored(tokens: Sequence[str], start: int) -> bool:
    reach = 4
    for at in range(start, max(0, start - reach), -1):
        if _phrase_before(tokens, at, words.ADDRESS_ANCHORS):
            return True
    return False


def _place(tokens: Sequence[str], at: int, *, chained: bool = False) -> int:
    """Return the end of an address word and the name after it, or `at` where there is none."""
    length = _phrase_at(tokens, at, words.ADDRESS_NOUNS)
    if not length:
        return at
    end = at + length
    numbered = end + (end < len(tokens) and tokens[end] == "số")
    runs = find_runs(tokens[numbered : numbered + _MAX_LOCAL])
    if runs and runs[0].start == 0:
        end = numbered + runs[0].end
        return end + (end < len(tokens) and tokens[end] in {"bê", "xê", "a", "b", "c"})
    known = _phrase_at(tokens, end, words.LONG_PLACES)
    if known:
        return end + known
    limit = end + _MAX_PLACE
    person = end < len(tokens) and (tokens[end] in words.SURNAMES or tokens[end] in words.WEAK_SURNAMES)
    if person and end + 1 < len(tokens) and tokens[end + 1] in words.MIDDLES:
        limit += 1
    begin = end
    if chained and end + 1 < len(tokens) and tokens[end] in words.SOFT_STOP:
        end += tokens[end + 1] not in words.ADDRESS_STOP
    while end < min(limit, len(tokens)) and tokens[end] not in words.ADDRESS_STOP:
        if _phrase_at(tokens, end, words.ADDRESS_NOUNS) and end > begin:
            break
        end += 1
    return end if end > begin else at


def _names(tokens: Sequence[str]) -> Iterator[Span]:
    at = 0
    while at < len(tokens):
        end = _name_after_cue(tokens, at) or _full_name(tokens, at) or _given_name(tokens, at)
        if end > at:
            start = at
            if _phrase_before(tokens, at, words.NAME_CUES):
                while start < end and tokens[start] in words.TITLES:
                    start += 1
            yield Span(Kind.NAME, start, end)
            at = end
        else:
            at += 1


def _name_after_cue(tokens: Sequence[str], at: int) -> int:
    """Return the end of a name of up to four syllables that "tên là" announces, or 0."""
    if not _phrase_before(tokens, at, words.NAME_CUES) or tokens[at] in {"là", "của", "cho"}:
        return 0
    if _is_surname(tokens[at]):
        end = _syllables_end(tokens, at)
        if end - at >= _MAX_GIVEN:
            return end
    end = at
    while end < min(at + _MAX_GIVEN, len(tokens)) and tokens[end] not in words.NAME_STOP:
        end += 1
    return max(end, _syllables_end(tokens, at)) if _is_surname(tokens[at]) else end


def _is_surname(token: str) -> bool:
    return token in words.SURNAMES or token in words.WEAK_SURNAMES


def _full_name(tokens: Sequence[str], at: int) -> int:
    """Return the end of a surname with middle and given names at `at`, or 0."""
    token = tokens[at]
    if not _is_surname(token):
        return 0
    following = tokens[at + 1] if at + 1 < len(tokens) else ""
    cued = _phrase_before(tokens, at, words.CALLED_CUES) or (at > 0 and tokens[at - 1] in words.TITLES)
    middled = following in _SURE_MIDDLES
    named = following in words.SURNAMES | words.MIDDLES | words.SURE_GIVEN
    if token not in words.SURNAMES and not middled and not (cued and named):
        return 0
    end = _syllables_end(tokens, at)
    # A sure middle name wants one or two more syllables, even ones the list does not know.
    limit = min(at + _MAX_GIVEN + 1, len(tokens))
    while middled and end - at >= _SHORTEST and end < limit and tokens[end] not in words.NAME_STOP:
        if tokens[end - 1] in words.GIVEN and end - at > _SHORTEST:
            break
        end += 1
    return end if end - at >= _SHORTEST else 0


def _syllables_end(tokens: Sequence[str], start: int) -> int:
    """Return the end of the name syllables after the surname at `start`.

    A word that usually ends a name ("anh", "bảo", "năm") is one of its syllables in the
    middle of it, or after a sure middle name.
    """
    end = start + 1
    while end < min(start + _MAX_GIVEN + 1, len(tokens)):
        token = tokens[end]
        known = token in words.GIVEN or token in words.MIDDLES or token in words.SURNAMES
        stops = token in words.NAME_STOP or token in NUMBER_WORDS
        inside = end - start < _SHORTEST and _goes_on(tokens, end)
        if not known or (stops and not (tokens[end - 1] in words.MIDDLES or inside)):
            break
        end += 1
    return end


def _goes_on(tokens: Sequence[str], at: int) -> bool:
    """Tell whether the word after `at` is a name syllable that is no other word."""
    following = tokens[at + 1] if at + 1 < len(tokens) else ""
    return following in words.GIVEN and following not in words.NAME_STOP


def _given_name(tokens: Sequence[str], at: int) -> int:
    """Return the end of a given name after a title, such as in "chị lan", or 0."""
    if at == 0 or tokens[at] not in words.SURE_GIVEN or tokens[at - 1] not in words.TITLES:
        return 0
    following = tokens[at + 1] if at + 1 < len(tokens) else ""
    compound = (tokens[at], following)
    return 0 if compound in words.COMPOUNDS else at + 1
