"""Numbers that name a person or a dossier, told from amounts, counts, dates and laws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from inference import redaction_words as words
from inference.redaction_spans import Kind, Span
from inference.spoken_numbers import LETTERS, Run, digits_of, find_runs

_LONG: Final = 6
_LETTERED: Final = 5
_BY_DIGIT: Final = 4
_ALONE: Final = 3
_AFTER_CUE: Final = 2
_CERTAIN: Final = 8
_YEAR_DIGITS: Final = 4
_CUE_REACH: Final = 8
_DOCUMENT_REACH: Final = 6
_MOSTLY: Final = 0.75
_CHAIN_REACH: Final = 7
_LAW_DIGITS: Final = 3
_LAW_WITH_YEAR: Final = 8
_MONEY_DIGITS: Final = 12
_THOUSANDS: Final = "000"
_BARRIER: Final = ""


def find_numbers(
    tokens: Sequence[str], kept: Sequence[tuple[int, int]] = (), *, spoken: bool = True
) -> tuple[Span, ...]:
    """Find the numbers that identify.

    Args:
        tokens: Words, lower case.
        kept: Stretches that are something else, such as the date of an appointment.
        spoken: Read number words; without it only written digits count.
    """
    open_tokens = list(tokens)
    for start, end in kept:
        # After "mã hồ sơ" even what looks like a date is a code; with "tháng" in it, it is none.
        if "tháng" in tokens[start:end] or not _cued(tokens, start, 0):
            open_tokens[start:end] = [_BARRIER] * (end - start)
    runs = find_runs(open_tokens) if spoken else _written_runs(open_tokens)
    return tuple(_spans(open_tokens, runs))


def _written_runs(tokens: Sequence[str]) -> tuple[Run, ...]:
    return tuple(
        Run(at, at + 1, token, by_digit=True, amount=False, leading=len(token))
        for at, token in enumerate(tokens)
        if token.isdecimal()
    )


def _spans(tokens: Sequence[str], runs: Sequence[Run]) -> Iterator[Span]:
    cued: list[bool] = []
    taken: list[bool] = []
    known = 0
    for run in runs:
        cue = _cued(tokens, run.start, known)
        cued.append(cue)
        taken.append(_identifies(tokens, run, cued=cue))
        if taken[-1]:
            known = run.end
    joined = _spread(tokens, runs, taken)
    for index, (run, cue, found) in enumerate(zip(runs, cued, taken, strict=True)):
        if found:
            start, end = _with_letters(tokens, run, cued=cue)
            # A correction between two pieces of one number goes with them: it is no opinion of anything.
            if index in joined and words.CORRECTIONS.issuperset(tokens[runs[index - 1].end : run.start]):
                start = runs[index - 1].end
            yield Span(Kind.NUMBER, start, end)


def _with_letters(tokens: Sequence[str], run: Run, *, cued: bool) -> tuple[int, int]:
    """Return the stretch of a run with the letters of a plate or code beside it."""
    start, end = run.start, run.end
    cued = cued or len(run.digits) >= _LONG
    while cued and start > 0 and tokens[start - 1] in (LETTERS - words.CUE_FILLERS) | words.NUMBER_SIGNS:
        start -= 1
    after = (LETTERS - words.CUE_FILLERS) | words.CODE_SIGNS
    while cued and end < len(tokens) and tokens[end] in after:
        end += 1
    return start, end


def _cued(tokens: Sequence[str], start: int, known: int) -> bool:
    """Tell whether a cue for an identifying number stands shortly before `start`."""
    at = start
    while at > 0 and start - at < _CUE_REACH:
        if _numbers_a_document(tokens, at) or words.NUMBER_CUES.length_before(tokens, at):
            return True
        if at == known and known:
            return True
        if tokens[at - 1] not in words.CUE_FILLERS and tokens[at - 1] not in LETTERS:
            return False
        at -= 1
    return words.NUMBER_CUES.length_before(tokens, at) > 0


def _numbers_a_document(tokens: Sequence[str], start: int) -> bool:
    """Tell whether "số" before `start` belongs to a paper: "giấy chứng tử số …"."""
    if start == 0 or tokens[start - 1] != "số" or words.LAW_CUES.length_before(tokens, start - 1):
        return False
    return bool(words.DOCUMENTS & set(tokens[max(0, start - _DOCUMENT_REACH) : start - 2]))


def _identifies(tokens: Sequence[str], run: Run, *, cued: bool) -> bool:
    count = len(run.digits)
    following = tokens[run.end] if run.end < len(tokens) else ""
    counted = following in words.UNITS
    # "không không không phải": zeros alone within a sentence deny.
    denied = not cued and set(run.digits) == {"0"} and count < _LONG and run.end - run.start < len(tokens)
    if denied or _is_money(run, following) or _is_law(tokens, run):
        return False
    if run.amount:
        ends_open = tokens[run.end - 1] in words.MAGNITUDE_ENDS
        return _longest_part(tokens, run) >= _LONG or (cued and not counted and not ends_open)
    if counted:
        return count >= _CERTAIN or (cued and count >= _LONG)
    if cued or count >= _LONG:
        return count >= _AFTER_CUE
    lettered = any(token in LETTERS for token in tokens[run.start : run.end])
    if lettered and count >= _LETTERED:
        return True
    # No count and no amount begins with a zero read aloud: three digits are the start of a telephone number.
    zero = run.digits.startswith("0") and tokens[run.start + 1 : run.start + 2] != ["phẩy"]
    alone = count >= _ALONE and (zero or run.end - run.start >= _MOSTLY * len(tokens))
    return run.by_digit and (count >= _BY_DIGIT or alone) and not _is_year(tokens, run)


def _longest_part(tokens: Sequence[str], run: Run) -> int:
    """Return how many digits stand at most between the magnitudes of an amount; an amount has three."""
    longest, start = run.leading, run.start
    for at in range(run.start, run.end + 1):
        if at == run.end or tokens[at] in words.MAGNITUDE_ENDS:
            longest = max(longest, len(digits_of(tokens[start:at])))
            start = at + 1
    return longest


def _is_money(run: Run, following: str) -> bool:
    """Tell whether the run is a written sum such as "12.500.000 đồng"."""
    rounded = run.digits.endswith(_THOUSANDS) and len(run.digits) <= _MONEY_DIGITS
    return rounded and following in words.MONEY and not run.digits.startswith("0")


def _is_law(tokens: Sequence[str], run: Run) -> bool:
    """Tell whether the run is the number of a law or a form, alone or with its year."""
    start, digits = run.start, run.digits
    if tokens[start] == "tư" and start and tokens[start - 1] == "thông":
        # "thông tư" is a circular; its second word is also the digit four.
        start, digits = start + 1, digits[1:]
    if not words.LAW_CUES.length_before(tokens, start):
        return False
    inside = tokens[start : run.end]
    if len(digits) <= _LAW_DIGITS:
        return True
    years = [digits_of(inside[at + 1 :]) for at, word in enumerate(inside) if word == "năm" and at]
    year = any(len(tail) == _YEAR_DIGITS and tail.startswith(("19", "20")) for tail in years)
    return year and len(digits) <= _LAW_WITH_YEAR


def _is_year(tokens: Sequence[str], run: Run) -> bool:
    """Tell whether the run is "năm" and a year: the word for year is also the digit five."""
    digits = run.digits
    if tokens[run.start] == "năm":
        digits = digits[1:]
    elif run.start == 0 or tokens[run.start - 1] not in {"năm", "hồi", "từ", "luật", "khoảng"}:
        return False
    return len(digits) == _YEAR_DIGITS and digits[:2] in {"19", "20"}


def _spread(tokens: Sequence[str], runs: Sequence[Run], taken: list[bool]) -> frozenset[int]:
    """Take the rest of a number that was said in pieces, with doubts and corrections between.

    Pieces read digit by digit that follow each other over such words are one number; it
    goes when a piece of it goes, or when its pieces are long enough together.

    Returns:
        The runs that go on with the number of the run before them.
    """
    chain: list[int] = []
    joined: set[int] = set()
    for index, run in enumerate(runs):
        if chain and not (_joins(tokens, runs[chain[-1]], run) and _is_piece(tokens, run)):
            joined |= _take_chain(runs, chain, taken)
            chain = []
        if taken[index] or _is_piece(tokens, run):
            chain.append(index)
        elif chain:
            joined |= _take_chain(runs, chain, taken)
            chain = []
    return frozenset(joined | _take_chain(runs, chain, taken))


def _take_chain(runs: Sequence[Run], chain: Sequence[int], taken: list[bool]) -> set[int]:
    heard = sum(len(runs[index].digits) for index in chain)
    if len(chain) <= 1 or not (heard >= _LONG or any(taken[index] for index in chain)):
        return set()
    for index in chain:
        taken[index] = True
    return set(chain[1:])


def _is_piece(tokens: Sequence[str], run: Run) -> bool:
    following = tokens[run.end] if run.end < len(tokens) else ""
    if run.amount or following in words.UNITS or _is_law(tokens, run):
        return False
    return len(run.digits) >= _AFTER_CUE and not _is_year(tokens, run)


def _joins(tokens: Sequence[str], first: Run, second: Run) -> bool:
    between = tokens[first.end : second.start]
    return len(between) <= _CHAIN_REACH and all(token in words.DOUBTS for token in between)
