"""Expand sentence frames into utterances, split by frame, and mishear them.

A frame is one line of a `.txt` file beside this module:

    - officer,time_cost : {me} chờ [hai/ba] tiếng mà {off} còn {np}

A sign (+ 0 -), the factors ("." for none), the sentence. `[a/b]` is one of the
alternatives, `{name}` one of the words of that slot. Frames, never sentences, are
held back for testing, so no held-back sentence has a sister in the training set.
The free sentences of `speech/` are fitted whole; the second set to test with,
`held_back/`, was written apart from them and is read by nothing here.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models import text_lexicon as lexicon
from models.text_features import toneless

FOLDER: Final = Path(__file__).parent
FACTORS: Final = ("access", "procedure", "officer", "result", "feedback", "time_cost")
SENTIMENTS: Final = ("negative", "neutral", "positive")
_SIGNS: Final = {"-": "negative", "0": "neutral", "+": "positive"}
_LINE: Final = re.compile(r"^([-0+])\s+(\S+)\s*:\s(.+)$")
_CHOICE: Final = re.compile(r"\[([^\[\]]*)\]")
_SLOT: Final = re.compile(r"\{(\w+)\}")
_HELD_BACK_OF: Final = 6
_NOT_FRAMES: Final = frozenset({"slots.txt"})
_SPEECH: Final = "speech"


@dataclass(frozen=True, slots=True)
class Frame:
    """A sentence frame with its labels and the file and line it stands in."""

    sentiment: str
    factors: tuple[str, ...]
    pattern: str
    origin: str

    @property
    def spoken(self) -> bool:
        """Whether the frame stands in `speech/`."""
        return self.origin.startswith(f"{_SPEECH}/")

    @property
    def free(self) -> bool:
        """Whether the line is a sentence of `speech/` without slots."""
        return self.spoken and _SLOT.search(self.pattern) is None

    @property
    def held_back(self) -> bool:
        """Whether the frame is kept for testing; decided by its own text, never in `speech/`."""
        if self.spoken:
            return False
        digest = hashlib.sha256(self.pattern.encode()).digest()
        return digest[0] % _HELD_BACK_OF == 0


@dataclass(frozen=True, slots=True)
class Utterance:
    """A labelled utterance as a recogniser would write it."""

    text: str
    sentiment: str
    factors: tuple[str, ...]


def read_slots(path: Path = FOLDER / "slots.txt") -> dict[str, tuple[str, ...]]:
    """Read the slots, one `name: a/b/c` a line; `praise` and `blame` hold the lexicon."""
    slots: dict[str, tuple[str, ...]] = {
        "praise": tuple(sorted(" ".join(phrase) for phrase in lexicon.POSITIVE)),
        "blame": tuple(sorted(" ".join(phrase) for phrase in lexicon.NEGATIVE)),
    }
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, rest = line.partition(":")
        if rest:
            slots[name.strip()] = tuple(rest.strip().split("/"))
    return slots


def read_frames(folder: Path = FOLDER) -> tuple[Frame, ...]:
    """Read every frame of a folder and of the free sentences in its `speech/`.

    Raises:
        ValueError: A line is not a frame; the message names file and line.
    """
    frames: list[Frame] = []
    for path in (*sorted(folder.glob("*.txt")), *sorted((folder / _SPEECH).glob("*.txt"))):
        if path.name not in _NOT_FRAMES:
            frames += read_frame_file(path, path.relative_to(folder).as_posix())
    return tuple(frames)


def read_frame_file(path: Path, name: str = "") -> tuple[Frame, ...]:
    """Read the frames of one file; `name` stands for it in origins and messages.

    Raises:
        ValueError: A line is not a frame; the message names file and line.
    """
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    return tuple(
        read_frame_line(line, f"{name or path.name}:{number}")
        for number, line in lines
        if line.strip() and not line.startswith("#")
    )


def read_frame_line(line: str, origin: str) -> Frame:
    """Read one frame; `origin` names its place in messages.

    Raises:
        ValueError: The line is not a frame.
    """
    match = _LINE.match(line)
    if match is None:
        message = (
            f"{origin}: not a frame; write 'SIGN FACTORS : sentence', for example '+ officer : cảm ơn cô'"
        )
        raise ValueError(message)
    factors = () if match[2] == "." else tuple(match[2].split(","))
    unknown = set(factors) - set(FACTORS)
    if unknown:
        message = f"{origin}: unknown factor {', '.join(sorted(unknown))}; use {', '.join(FACTORS)} or '.'"
        raise ValueError(message)
    return Frame(_SIGNS[match[1]], factors, match[3].strip(), origin)


def expand(
    frame: Frame, slots: Mapping[str, tuple[str, ...]], dice: random.Random, most: int
) -> Iterator[Utterance]:
    """Yield up to `most` different utterances of a frame."""
    seen: set[str] = set()
    for _ in range(most * 3):
        if len(seen) >= most:
            return
        text = _CHOICE.sub(lambda found: dice.choice(found[1].split("/")), frame.pattern)
        text = _SLOT.sub(lambda found: dice.choice(slots[found[1]]), text)
        text = " ".join(text.split())
        if text not in seen:
            seen.add(text)
            yield Utterance(text, frame.sentiment, frame.factors)


_INITIALS: Final = (
    ("tr", "ch"),
    ("ch", "tr"),
    ("s", "x"),
    ("x", "s"),
    ("l", "n"),
    ("n", "l"),
    ("gi", "d"),
    ("d", "gi"),
    ("v", "d"),
    ("r", "d"),
    ("d", "r"),
)
_FINALS: Final = (("n", "ng"), ("ng", "n"), ("t", "c"), ("c", "t"), ("nh", "n"), ("ch", "t"))
_TONES: Final = (
    ("ả", "ã"),
    ("ã", "ả"),
    ("ẻ", "ẽ"),
    ("ễ", "ể"),
    ("ổ", "ỗ"),
    ("ỡ", "ở"),
    ("ủ", "ũ"),
    ("ỹ", "ỷ"),
    ("ạ", "ả"),
    ("ế", "ê"),
    ("ậ", "ấ"),
    ("ồ", "ô"),
    ("ý", "y"),
    ("ớ", "ơ"),
    ("í", "i"),
)


def mishear(text: str, dice: random.Random, rate: float, *, merged: float = 0.0) -> str:
    """Return the text with about `rate` of its words as a recogniser gets them wrong.

    Words are dropped, doubled, lose a tone, or take a neighbouring initial or final.

    Args:
        text: Words of an utterance; stand-ins such as `<số>` stay.
        dice: The same state mishears the same words.
        rate: Share of the words, 0 to 1.
        merged: Share of the errors that run a word into the next ("chờlâu"). The model is fitted
            without such words, so measuring with them shows what an error of another kind costs.
    """
    heard: list[str] = []
    words = text.split()
    past = 0
    for at, word in enumerate(words):
        if at < past:
            continue
        if word.startswith("<") or dice.random() >= rate:
            heard.append(word)
            continue
        # No draw without merging: the fitted errors stay the same ones for their seed.
        joins = at + 1 < len(words) and not words[at + 1].startswith("<")
        if merged and joins and dice.random() < merged:
            heard.append(word + words[at + 1])
            past = at + 2
            continue
        kind = dice.random()
        if kind < 0.2:  # noqa: PLR2004 - shares of the kinds of error
            continue
        if kind < 0.27:  # noqa: PLR2004 - as above
            heard += [word, word]
        elif kind < 0.4:  # noqa: PLR2004 - as above
            heard.append(toneless(word))
        else:
            heard.append(_swapped(word, dice))
    return " ".join(heard) or text


def _swapped(word: str, dice: random.Random) -> str:
    options = [
        new + word[len(old) :] for old, new in _INITIALS if word.startswith(old) and len(word) > len(old)
    ]
    options += [
        word[: -len(old)] + new for old, new in _FINALS if word.endswith(old) and len(word) > len(old)
    ]
    options += [word.replace(old, new) for old, new in _TONES if old in word]
    return dice.choice(options) if options else toneless(word)
