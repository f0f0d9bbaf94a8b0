from __future__ import annotations

import pytest

from inference.word_errors import ErrorCount, character_errors, normalise, word_errors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bối cảnh, tạo bày: ai là kẻ thế vai?", "bối cảnh tạo bày ai là kẻ thế vai"),
        ("hòa thúy khỏe tòa án", "hoà thuý khoẻ toà án"),
        ("hoàn toàn quý hóa", "hoàn toàn quý hoá"),
        ("cha\u0300o em", "chào em"),
        ("CẢM ƠN   em_ạ", "cảm ơn em ạ"),
        ("đợi 2 tiếng", "đợi hai tiếng"),
        ("15 21 105 110", "mười lăm hai mươi mốt một trăm linh năm một trăm mười"),
        ("1.250.000 đồng", "một triệu hai trăm năm mươi nghìn đồng"),
        ("1005", "một nghìn không trăm linh năm"),
        ("0912", "không chín một hai"),
        ("0", "không"),
        ("", ""),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors", "length"),
    [
        ("tôi đã chờ lâu", "tôi đã chờ lâu", 0, 4),
        ("tôi đã chờ lâu", "tôi chờ lâu quá", 2, 4),
        ("tôi đã chờ lâu", "", 4, 4),
        ("", "ai đó", 2, 0),
        ("Hòa giải!", "hoà giải", 0, 2),
        ("a b c", "x a b c", 1, 3),
    ],
)
def test_word_errors(reference: str, hypothesis: str, errors: int, length: int) -> None:
    assert word_errors(reference, hypothesis) == ErrorCount(errors, length)


def test_character_errors_count_spaces_and_marks() -> None:
    assert character_errors("chờ lâu", "cho lau") == ErrorCount(2, 7)


def test_rates_add_by_length_and_not_by_text() -> None:
    together = ErrorCount(1, 1) + ErrorCount(0, 9)
    assert together.rate == pytest.approx(0.1)
    assert ErrorCount(0, 0).rate == 0.0
    assert ErrorCount(2, 0).rate == 2.0
