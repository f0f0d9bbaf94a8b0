import math
from pathlib import Path

import numpy as np
import pytest

from models.errors import ModelHashMismatch
from models.registry import Registry
from models.text_sentiment import FACTORS, TextModelBroken, TextSentiment, Weights


@pytest.fixture(scope="module")
def model() -> TextSentiment:
    return TextSentiment.load()


@pytest.mark.parametrize(
    ("text", "sentiment"),
    [
        ("cảm ơn em nhiều em hướng dẫn rất nhiệt tình chị rất hài lòng", "positive"),
        ("tôi không có gì phải phàn nàn cả", "positive"),
        ("tôi đã chờ ở đây hơn hai tiếng đồng hồ rồi", "negative"),
        ("mất thời gian quá thái độ phục vụ như thế này tôi không hài lòng", "negative"),
        ("chẳng hướng dẫn gì cả", "negative"),
        ("tôi nộp hồ sơ xác nhận cư trú", "neutral"),
        ("hôm nay trời nắng quá", "neutral"),
        ("số của tôi là <số>", "neutral"),
    ],
)
def test_reads_plain_cases(model: TextSentiment, text: str, sentiment: str) -> None:
    opinion = model.read(text)
    assert opinion.sentiment == sentiment
    assert math.fsum(opinion.probabilities) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "factor"),
    [
        ("cán bộ hách dịch quá", "officer"),
        ("chờ hai tiếng rồi mà chưa tới lượt", "time_cost"),
        ("thủ tục rườm rà lằng nhằng quá", "procedure"),
        ("tôi sẽ gửi đơn khiếu nại", "feedback"),
        ("phòng chờ nóng quá không có ghế ngồi", "access"),
        ("trễ hẹn cả tháng mà chưa có kết quả", "result"),
    ],
)
def test_names_the_factor(model: TextSentiment, text: str, factor: str) -> None:
    factors = model.read(text).factors
    assert factor in factors
    assert all(name in FACTORS and 0.0 <= share <= 1.0 for name, share in factors.items())


@pytest.mark.parametrize("text", ["hôm nay trời nắng quá", "lúa năm nay được giá ghê", "đây ạ"])
def test_small_talk_is_none_of_the_six(model: TextSentiment, text: str) -> None:
    assert model.read(text).factors == {}


@pytest.mark.parametrize("text", ["", "   ", "…!?", "\n"])
def test_empty_text_is_undecided(model: TextSentiment, text: str) -> None:
    opinion = model.read(text)
    assert opinion.probabilities == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert opinion.factors == {}
    assert opinion.reasons == ()


def test_reasons_are_words_of_the_text(model: TextSentiment) -> None:
    text = "cô ấy hướng dẫn rất nhiệt tình"
    reasons = model.read(text).reasons
    assert any("nhiệt tình" in reason for reason in reasons)
    assert all(reason in text for reason in reasons)


def test_spelling_variants_read_alike(model: TextSentiment) -> None:
    assert model.read("Anh ấy rất HOÀ nhã!") == model.read("anh ấy rất hòa nhã")


def test_it_says_which_model_it_is(model: TextSentiment) -> None:
    name, version, sha256 = model.version_of()
    assert (name, version) == ("text-sentiment", "2")
    assert len(sha256) == 64


def test_the_shipped_file_is_small_and_needs_no_pickle(model: TextSentiment) -> None:
    path = Registry.default().locate("text-sentiment").path
    assert path.stat().st_size < 3_000_000
    with np.load(path, allow_pickle=False) as tables:
        assert all(tables[name].dtype != object for name in tables.files)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    genuine = Registry.default().locate("text-sentiment").path
    spoiled = bytearray(genuine.read_bytes())
    spoiled[len(spoiled) // 2] ^= 1
    (tmp_path / genuine.name).write_bytes(spoiled)
    with pytest.raises(ModelHashMismatch, match=r"text_sentiment-2\.npz"):
        TextSentiment.load(Registry([tmp_path]))


def test_weights_survive_saving_within_their_byte(tmp_path: Path) -> None:
    weights = Weights.read(Registry.default().locate("text-sentiment").path)
    weights.save(tmp_path / "again.npz")
    again = Weights.read(tmp_path / "again.npz")
    step = np.abs(weights.sentiment).max(axis=0) / 127
    assert (np.abs(weights.sentiment - again.sentiment) <= step).all()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + b"\0" * 18])
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.npz"
    path.write_bytes(content)
    with pytest.raises(TextModelBroken, match=r"wrong\.npz is not a text model"):
        Weights.read(path)


def test_tables_of_another_size_are_refused(tmp_path: Path) -> None:
    small = np.zeros((8, 3), dtype=np.float32)
    weights = Weights(
        small, np.zeros(3, np.float32), np.zeros((8, 6), np.float32), np.zeros(6, np.float32), 1.0, small[0]
    )
    weights.save(tmp_path / "small.npz")
    with pytest.raises(TextModelBroken, match="has tables of"):
        Weights.read(tmp_path / "small.npz")
