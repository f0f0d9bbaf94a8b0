import json
import unicodedata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inference.commands import evaluate
from inference.evaluation_redaction import MarkedSpan, RedactionManifestError, read_manifest, run, wilson

_HERE = Path(__file__).parent
_SETS = (
    "redaction_sentences.txt",
    "redaction_held_back.txt",
    "redaction_varied.txt",
    "redaction_held_back_2.txt",
    "redaction_held_back_3.txt",
    "redaction_held_back_4.txt",
)
"""Sets whose errors were read: the rules were made or changed with them."""


def _manifest(folder: Path, *entries: object) -> Path:
    file = folder / "sentences.jsonl"
    file.write_text("\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries), encoding="utf-8")
    return file


def _figure(report: object, *keys: str) -> float:
    for key in keys:
        assert isinstance(report, dict), keys
        report = report[key]
    assert isinstance(report, int | float), keys
    return report


def _marked(text: str, *spans: tuple[str, str]) -> dict[str, object]:
    return {
        "text": text,
        "spans": [
            {"start": text.index(words), "end": text.index(words) + len(words), "kind": kind}
            for words, kind in spans
        ],
    }


def test_counts_what_went_what_stayed_and_what_went_without_reason(tmp_path: Path) -> None:
    manifest = _manifest(
        tmp_path,
        _marked("tôi tên là nguyễn văn nam", ("nguyễn văn nam", "name")),
        _marked("gọi tôi nhé mai một hai", ("một hai", "phone")),
        _marked("số không chín một hai ba bốn năm sáu bảy tám chờ năm phút"),
        _marked("hôm nay trời nắng"),
    )
    seen: list[tuple[int, int]] = []
    report = run(manifest, progress=lambda done, of: seen.append((done, of)))
    assert _figure(report, "groups", "names", "span_recall") == 1.0
    assert _figure(report, "groups", "names", "tokens") == 3
    assert _figure(report, "kinds", "phone", "span_recall") == 0.0
    assert _figure(report, "false_redaction", "redacted") == 10
    assert _figure(report, "false_redaction", "words") == 3 + 4 + 14 + 4
    assert (report["sentences"], report["words"]) == (4, 6 + 6 + 14 + 4)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_span_in_decomposed_text_is_found_at_its_own_characters(tmp_path: Path) -> None:
    text = unicodedata.normalize("NFD", "Tôi tên là Nguyễn Văn Nam, đã nộp.")
    words = unicodedata.normalize("NFD", "Nguyễn Văn Nam")
    report = run(_manifest(tmp_path, _marked(text, (words, "name"))))
    assert _figure(report, "groups", "names", "token_recall") == 1.0
    assert _figure(report, "false_redaction", "redacted") == 0


def test_both_formats_mark_the_same(tmp_path: Path) -> None:
    text = tmp_path / "sentences.txt"
    text.write_text("# note\nsố [phone không chín] của [name an] ạ\n", encoding="utf-8")
    (sentence,) = read_manifest(text)
    assert sentence.text == "số không chín của an ạ"
    assert sentence.spans == (MarkedSpan(3, 13, "phone"), MarkedSpan(18, 20, "name"))
    entry = _marked("số không chín của an ạ", (" an", "name"), ("không chín", "phone"))
    assert read_manifest(_manifest(tmp_path, entry))[0].spans[0] == MarkedSpan(3, 13, "phone")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", r"sentences\.jsonl:2: not JSON"),
        ("[]", r"sentences\.jsonl:2: a line is a JSON object"),
        ('{"spans": []}', r"sentences\.jsonl:2: 'text' is missing"),
        ('{"text": "a"}', r"sentences\.jsonl:2: 'spans' is missing"),
        ('{"text": "a", "spans": [1]}', r"sentences\.jsonl:2: span 1 is not an object"),
        (
            '{"text": "a", "spans": [{"start": 0, "end": 2, "kind": "name"}]}',
            r"sentences\.jsonl:2: span 1: 'start' 0 and 'end' 2 are no stretch of the 1 characters",
        ),
        (
            '{"text": "ab", "spans": [{"start": true, "end": 2, "kind": "name"}]}',
            r"sentences\.jsonl:2: span 1: 'start' True",
        ),
        (
            '{"text": "ab", "spans": [{"start": 0, "end": 2, "kind": "iban"}]}',
            r"sentences\.jsonl:2: span 1: kind 'iban' is unknown; use number, citizen",
        ),
        (
            '{"text": "ab", "spans": [{"start": 0, "end": 2, "kind": "name"}, {"start": 1, "end": 2}]}',
            r"sentences\.jsonl:2: span 2 overlaps",
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    file = tmp_path / "sentences.jsonl"
    file.write_text('{"text": "a", "spans": []}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(RedactionManifestError, match=complaint):
        read_manifest(file)


@pytest.mark.parametrize("line", ["số [phone không chín", "số [điện] a", "[iban một hai]"])
def test_a_bad_mark_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "sentences.txt"
    file.write_text(f"# note\n{line}\n", encoding="utf-8")
    with pytest.raises(RedactionManifestError, match=r"sentences\.txt:2"):
        read_manifest(file)


def test_missing_and_empty_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(RedactionManifestError, match="cannot be read"):
        read_manifest(tmp_path / "absent.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(RedactionManifestError, match="holds no sentence"):
        read_manifest(tmp_path / "empty.jsonl")


@pytest.mark.parametrize("name", _SETS)
def test_sentences_that_were_read_lose_what_identifies_and_little_else(name: str) -> None:
    report = run(_HERE / name)
    assert _figure(report, "groups", "numbers", "token_recall") >= 0.98
    assert _figure(report, "groups", "names", "span_recall") >= 0.95
    assert _figure(report, "groups", "addresses", "token_recall") >= 0.95
    assert _figure(report, "groups", "births", "token_recall") >= 0.95
    assert _figure(report, "groups", "emails", "span_recall") == 1.0
    assert _figure(report, "false_redaction", "share") <= 0.02


def test_sentences_that_no_rule_was_made_with() -> None:
    report = run(_HERE / "redaction_held_back_5.txt")
    assert _figure(report, "groups", "numbers", "token_recall") >= 0.98
    assert _figure(report, "groups", "names", "span_recall") >= 0.90
    assert _figure(report, "false_redaction", "share") <= 0.02


def test_the_rules_hold_on_what_they_were_first_read_on_by_now() -> None:
    # First readings missed the goal for names (docs/text.md); this keeps what reading the errors won.
    for name, names in (("6", 0.93), ("7", 0.90), ("8", 0.93)):
        report = run(_HERE / f"redaction_held_back_{name}.txt")
        assert _figure(report, "groups", "numbers", "span_recall") == 1.0
        assert _figure(report, "groups", "names", "span_recall") >= names
        assert _figure(report, "false_redaction", "share") <= 0.015


@pytest.mark.parametrize("name", ["redaction_sentences.txt", "redaction_held_back_5.txt"])
def test_without_number_words_the_goal_is_missed(name: str) -> None:
    report = run(_HERE / name, spoken_numbers=False)
    assert _figure(report, "groups", "numbers", "token_recall") < 0.10
    assert report["spoken_numbers"] is False


def test_interval_of_a_share() -> None:
    assert wilson(0, 0) is None
    assert wilson(98, 100) == [0.93, 0.9945]
    assert wilson(100, 100) == [0.963, 1.0]


def test_the_command_prints_one_object_and_names_the_broken_line(tmp_path: Path) -> None:
    file = _manifest(tmp_path, _marked("tôi tên là nguyễn văn nam", ("nguyễn văn nam", "name")))
    done = CliRunner().invoke(evaluate, ["redaction", "--manifest", str(file), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["groups"]["names"]["span_recall"] == 1.0
    control = CliRunner().invoke(
        evaluate, ["redaction", "--manifest", str(file), "--json", "--without-numbers"]
    )
    assert json.loads(control.stdout)["spoken_numbers"] is False
    file.write_text('{"text": 1}\n', encoding="utf-8")
    failed = CliRunner().invoke(evaluate, ["redaction", "--manifest", str(file), "--json"])
    assert failed.exit_code == 2
    assert "sentences.jsonl:1" in failed.stderr
