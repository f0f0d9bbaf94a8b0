import json
from pathlib import Path

import pytest

from inference.evaluation_text import Noise, TextManifestError, read_manifest, run, run_sets
from models.corpus.expansion import FOLDER
from models.text_baselines import lexicon_factors, lexicon_sentiment

SECOND_HELD_BACK = FOLDER / "held_back" / "counter_speech.txt"


def _manifest(path: Path, *entries: object) -> Path:
    file = path / "texts.jsonl"
    file.write_text("\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries), encoding="utf-8")
    return file


def test_counts_right_and_wrong(tmp_path: Path) -> None:
    manifest = _manifest(
        tmp_path,
        {
            "text": "em hướng dẫn rất nhiệt tình chị rất hài lòng",
            "sentiment": "positive",
            "factor": "officer",
        },
        {"text": "chờ lâu quá bực mình", "sentiment": "negative", "factor": ["time_cost"]},
        {"text": "cán bộ hách dịch quá tôi rất bực", "sentiment": "positive"},
        {"text": "hôm nay trời nắng quá", "sentiment": "neutral", "factor": []},
    )
    seen: list[tuple[int, int]] = []
    report = run(manifest, progress=lambda done, of: seen.append((done, of)))
    assert report["accuracy"] == 0.75
    assert report["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3, abs=1e-3)
    assert report["n"] == 4
    by_class = report["by_class"]
    assert isinstance(by_class, dict)
    assert by_class["positive"] == {"precision": 1.0, "recall": 0.5, "f1": 0.6667, "support": 2}
    factor = report["factor"]
    assert isinstance(factor, dict)
    assert (factor["n"], factor["none_kept_silent"]) == (3, 1.0)
    assert factor["micro_f1"] == 1.0
    assert report["confusion"] == {
        "negative": {"negative": 1, "neutral": 0, "positive": 0},
        "neutral": {"negative": 0, "neutral": 1, "positive": 0},
        "positive": {"negative": 1, "neutral": 0, "positive": 1},
    }
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_several_sets_are_measured_as_they_are_and_misheard() -> None:
    off_topic = FOLDER / "held_back" / "off_topic.txt"
    noise = Noise(0.17, 1)
    report = run_sets([off_topic, SECOND_HELD_BACK], noise=noise)
    sets = report["sets"]
    assert isinstance(sets, list)
    assert [one["manifest"] for one in sets] == ["off_topic.txt", "counter_speech.txt"]
    untimed = [
        {key: one[name][key] for key in ("accuracy", "macro_f1", "noise", "n")}
        for one, name in [(sets[1], "clean"), (sets[1], "misheard")]
    ]
    for figures, heard in zip(untimed, (Noise(), noise), strict=True):
        alone = run(SECOND_HELD_BACK, noise=heard)
        assert figures == {key: alone[key] for key in figures}
    assert "misheard" not in run_sets([off_topic])["sets"][0]  # type: ignore[index]  # a list, as above


def test_what_the_counter_answers_for_is_told_from_the_weather() -> None:
    report = run(FOLDER / "held_back" / "off_topic.txt")
    factor = report["factor"]
    assert isinstance(factor, dict)
    assert report["n"] == factor["n"] == 70
    # A floor, not a figure: docs/text.md has the figure.
    assert factor["none_kept_silent"] >= 0.7


def test_no_factor_line_no_factor_part(tmp_path: Path) -> None:
    assert "factor" not in run(_manifest(tmp_path, {"text": "tốt lắm", "sentiment": "positive"}))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", r"texts\.jsonl:2: not JSON"),
        ("[]", r"texts\.jsonl:2: a line is a JSON object"),
        ('{"sentiment": "neutral"}', r"texts\.jsonl:2: 'text' is missing"),
        ('{"text": "a", "sentiment": "good"}', r"texts\.jsonl:2: 'sentiment' is 'good'; use negative"),
        (
            '{"text": "a", "sentiment": "neutral", "factor": "mood"}',
            r"texts\.jsonl:2: 'factor' is 'mood'; use access",
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"text": "a", "sentiment": "neutral"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(TextManifestError, match=complaint):
        read_manifest(file)


def test_missing_and_empty_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(TextManifestError, match="cannot be read"):
        read_manifest(tmp_path / "absent.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(TextManifestError, match="holds no line"):
        read_manifest(tmp_path / "empty.jsonl")


def test_held_back_frames_stay_above_the_floor() -> None:
    report = run(FOLDER / "held_back.jsonl")
    assert isinstance(report["accuracy"], float)
    assert isinstance(report["macro_f1"], float)
    assert report["accuracy"] >= 0.78
    assert report["macro_f1"] >= 0.74
    factor = report["factor"]
    assert isinstance(factor, dict)
    assert factor["macro_f1"] >= 0.65


def test_baselines_are_measured_on_the_same_texts(tmp_path: Path) -> None:
    manifest = _manifest(
        tmp_path,
        {"text": "cán bộ rất nhiệt tình", "sentiment": "positive", "factor": "officer"},
        {"text": "bao giờ lấy được", "sentiment": "neutral", "factor": []},
        {"text": "sáng mai tôi lên", "sentiment": "neutral", "factor": []},
    )
    assert run(manifest)["baselines"] == {
        "lexicon": {
            "accuracy": 1.0,
            "macro_f1": 1.0,
            "factor_macro_f1": 1.0,
            "factor_micro_f1": 1.0,
            "factor_exact_match": 1.0,
        },
        "most_frequent": {
            "accuracy": 0.6667,
            "macro_f1": 0.4,
            "factor_macro_f1": 0.5,
            "factor_micro_f1": 0.5,
            "factor_exact_match": 0.3333,
        },
    }


@pytest.mark.parametrize(
    ("text", "sentiment"),
    [
        ("tốt lắm", "positive"),
        ("không tốt", "negative"),
        ("cô ấy tốt nhưng chờ lâu", "negative"),
        ("tôi nộp hồ sơ", "neutral"),
    ],
)
def test_the_lexicon_counts(text: str, sentiment: str) -> None:
    assert lexicon_sentiment(text) == sentiment
    assert sentiment != "neutral" or not lexicon_factors(text)


def test_noise_repeats_with_its_seed_and_costs_accuracy() -> None:
    def accuracy(noise: Noise) -> float:
        found = run(SECOND_HELD_BACK, noise=noise)["accuracy"]
        assert isinstance(found, float)
        return found

    assert accuracy(Noise(0.17, 3)) == accuracy(Noise(0.17, 3))
    assert accuracy(Noise(0.9, 3)) < accuracy(Noise())


def test_a_file_of_the_corpus_reports_by_kind(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("# kind: plain\n+ officer : rất tốt\n- . : tệ quá\n0 . : dạ\n", encoding="utf-8")
    assert [item.kind for item in read_manifest(file)] == ["plain"] * 3
    assert run(file)["by_kind"] == {"plain": {"accuracy": 1.0, "n": 3}}
    file.write_text("+ . : [tốt/hay] quá\n", encoding="utf-8")
    with pytest.raises(TextManifestError, match=r"texts\.txt:1: choices and slots"):
        read_manifest(file)
    file.write_text("tốt quá\n", encoding="utf-8")
    with pytest.raises(TextManifestError, match=r"texts\.txt:1: not a frame"):
        read_manifest(file)


def test_thin_opinions_are_left_out_of_the_certain_ones() -> None:
    report = run(SECOND_HELD_BACK)
    certain = report["certain"]
    assert isinstance(certain, dict)
    assert 0.3 < certain["share"] < 1.0
    assert isinstance(report["accuracy"], float)
    assert certain["accuracy"] > report["accuracy"]


def test_free_sentences_apart_stay_above_the_floor() -> None:
    report = run(SECOND_HELD_BACK)
    assert isinstance(report["macro_f1"], float)
    assert report["macro_f1"] >= 0.7
    factor = report["factor"]
    assert isinstance(factor, dict)
    assert factor["macro_f1"] >= 0.68


@pytest.mark.shared
def test_general_texts_beat_the_hand_lexicon(shared: Path) -> None:
    report = run(shared / "data" / "text" / "uit_vsfc_dev.jsonl")
    assert isinstance(report["accuracy"], float)
    assert report["accuracy"] > 0.745
