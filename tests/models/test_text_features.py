import unicodedata

import pytest

from models.text_features import BUCKETS, bucket_of, features_of, negated, weighed_phrases, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Cảm ơn em, nhiều!", ("cảm", "ơn", "em", "nhiều")),
        ("hoà thuỷ toà", ("hòa", "thủy", "tòa")),
        ("quý quả", ("quý", "quả")),
        ("số của tôi là <số>", ("số", "của", "tôi", "là", "<số>")),
        (unicodedata.normalize("NFD", "hài lòng"), ("hài", "lòng")),
        (" … !?", ()),
    ],
)
def test_words_are_normalised(text: str, words: tuple[str, ...]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("rất hài lòng", "+"),
        ("không hài lòng", "m"),
        ("không có gì phải chê", "+"),
        ("không hề hách dịch", "p"),
        ("thái độ hách dịch", "-"),
        ("thủ tục có rườm rà không", "-"),
        ("nên cải thiện", "ww"),
        ("chẳng hướng dẫn gì cả", "m"),
        ("em hướng dẫn", ""),
        ("trời nắng", ""),
    ],
)
def test_lexicon_reads_negation(text: str, kinds: str) -> None:
    assert "".join(item.kind for item in weighed_phrases(words_of(text))) == kinds


def test_a_final_khong_asks_and_denies_nothing() -> None:
    assert negated(("có", "nhanh", "không")) == (False, False, False)
    assert negated(("không", "nhanh")) == (False, True)


def test_features_lie_in_the_tables_and_point_at_words() -> None:
    words = words_of("cô hướng dẫn rất nhiệt tình nhưng chờ lâu quá")
    features = features_of(words)
    assert len(features) > len(words)
    assert all(0 <= item.bucket < BUCKETS for item in features)
    assert all(0 <= item.start < item.end <= len(words) for item in features)
    assert features == features_of(words)


def test_families_have_unit_length() -> None:
    words = words_of("chờ lâu quá")
    with_topics = sum(item.value**2 for item in features_of(words))
    without = sum(item.value**2 for item in features_of(words, topics=False))
    assert with_topics == pytest.approx(4.0)
    assert without == pytest.approx(3.0)


def test_buckets_are_the_same_on_every_machine() -> None:
    assert bucket_of("123456789") == 0xCBF43926 & (BUCKETS - 1)  # the check value of CRC-32


def test_a_very_long_utterance_is_bounded() -> None:
    assert len(words_of("chờ " * 5000)) == 400
