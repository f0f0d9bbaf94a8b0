import json
import random
from pathlib import Path

import pytest

from models.corpus.expansion import FACTORS, FOLDER, SENTIMENTS, expand, mishear, read_frames, read_slots
from models.text_features import words_of


def _dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - repeatable sentences, no secret


def test_every_frame_expands_with_its_label() -> None:
    dice = _dice(7)
    slots = read_slots()
    for frame in read_frames():
        for made in expand(frame, slots, dice, 2):
            assert words_of(made.text), frame.origin
            assert made.sentiment in SENTIMENTS
            assert set(made.factors) <= set(FACTORS)
            assert not set("[]{}/") & set(made.text), frame.origin


def test_no_frame_is_written_twice() -> None:
    patterns = [frame.pattern for frame in read_frames()]
    assert len(patterns) == len(set(patterns))


def test_the_corpus_gives_thousands_of_utterances_of_every_label() -> None:
    dice = _dice(7)
    slots = read_slots()
    texts = {made.text for frame in read_frames() for made in expand(frame, slots, dice, 12)}
    labels = {frame.sentiment for frame in read_frames()}
    factors = {name for frame in read_frames() for name in frame.factors}
    assert len(texts) > 4000
    assert labels == set(SENTIMENTS)
    assert factors == set(FACTORS)


def test_the_held_back_file_holds_held_back_frames_only() -> None:
    slots = read_slots()
    dice = _dice(7)
    fitted = {
        made.text for frame in read_frames() if not frame.held_back for made in expand(frame, slots, dice, 40)
    }
    lines = (FOLDER / "held_back.jsonl").read_text(encoding="utf-8").splitlines()
    kept = [json.loads(line)["text"] for line in lines]
    assert len(kept) > 300
    shared = [text for text in kept if text in fitted]
    assert len(shared) <= len(kept) * 0.02, shared


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("officer : cảm ơn", "wrong.txt:2: not a frame"),
        ("+ speed : nhanh", "wrong.txt:2: unknown factor speed"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "wrong.txt").write_text(f"# a comment\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=complaint):
        read_frames(tmp_path)


def test_mishearing_repeats_with_its_seed_and_spares_tokens() -> None:
    text = "số của tôi là <số> mà chờ lâu quá rồi"
    heard = [mishear(text, _dice(5), 0.9) for _ in range(2)]
    assert heard[0] == heard[1] != text
    assert "<số>" in heard[0]
    assert mishear(text, _dice(5), 0.0) == text
