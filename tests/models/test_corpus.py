import json
import random
from pathlib import Path

import pytest

from models.corpus.agreement.coefficients import (
    agreement_of,
    cohen_kappa,
    krippendorff_alpha,
    read_double_labels,
)
from models.corpus.dialect import CENTRE, SOUTH, say_as
from models.corpus.expansion import (
    FACTORS,
    FOLDER,
    SENTIMENTS,
    expand,
    mishear,
    read_frame_file,
    read_frames,
    read_slots,
)
from models.text_features import words_of

SECOND_HELD_BACK = FOLDER / "held_back" / "counter_speech.txt"


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


def test_mishearing_can_run_words_together() -> None:
    text = "chờ <số> lâu quá rồi em ơi"
    heard = mishear(text, _dice(5), 1.0, merged=1.0)
    # Two words make one; a stand-in joins nothing, and what is last has nothing to join.
    assert heard.split()[1:4] == ["<số>", "lâuquá", "rồiem"]
    assert mishear(text, _dice(5), 0.0, merged=1.0) == text
    # Without merging the errors of a seed stay the ones that the model was fitted with.
    assert mishear(text, _dice(5), 0.9, merged=0.0) == mishear(text, _dice(5), 0.9)


def test_free_sentences_are_many_and_fitted_whole() -> None:
    free = [frame for frame in read_frames() if frame.spoken]
    assert len(free) > 1500
    assert not any(frame.held_back for frame in free)
    assert {frame.sentiment for frame in free} == set(SENTIMENTS)
    assert {name for frame in free for name in frame.factors} == set(FACTORS)


def test_the_second_held_back_set_is_apart_from_what_is_fitted() -> None:
    kept = read_frame_file(SECOND_HELD_BACK)
    assert len(kept) >= 250
    assert not set("[]{}") & {letter for frame in kept for letter in frame.pattern}
    fitted = [frozenset(frame.pattern.split()) for frame in read_frames() if frame.spoken]
    for frame in kept:
        words = frozenset(frame.pattern.split())
        nearest = max(len(words & other) / len(words | other) for other in fitted)
        assert nearest < 0.6, frame.pattern


@pytest.mark.parametrize(
    ("region", "text", "said"),
    [
        (SOUTH, "cô ấy không nói", {"cổ hổng nói", "cổ hông nói", "cổ không có nói"}),
        (CENTRE, "sao thế này", {"răng ri", "răng như ri"}),
        (CENTRE, "giấy <tên>", {"giấy <tên>"}),
    ],
    ids=["south", "centre", "token"],
)
def test_a_region_says_it_in_its_words(region: dict[str, tuple[str, ...]], text: str, said: set[str]) -> None:
    heard = {say_as(text, region, _dice(seed)) for seed in range(60)}
    assert said <= heard


def test_saying_repeats_with_its_seed() -> None:
    text = "tôi không biết nộp ở đâu thế này"
    assert say_as(text, SOUTH, _dice(3)) == say_as(text, SOUTH, _dice(3))


def test_agreement_coefficients_by_hand() -> None:
    pairs = [("a", "a")] * 20 + [("a", "b")] * 5 + [("b", "a")] * 10 + [("b", "b")] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.4)
    # 100 labels, 55 a and 45 b: expected disagreement 1 - (55*54 + 45*44) / (100*99) = 0.5
    assert krippendorff_alpha(pairs) == pytest.approx(1 - 0.3 / 0.5)
    assert cohen_kappa([("a", "a")] * 3) == krippendorff_alpha([("a", "a")] * 3) == 1.0


def test_the_sample_labelled_twice_agrees() -> None:
    report = agreement_of(read_double_labels(FOLDER / "agreement" / "labels.jsonl"))
    assert report["n"] == 225
    assert report["apart"] == 3
    assert report["sentiment_kappa"] == 1.0


def test_a_line_without_second_reading_is_named(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text('{"text": "a", "first": {"sentiment": "neutral", "factor": []}}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"labels\.jsonl:1: a line needs 'first' and 'second'"):
        read_double_labels(file)
