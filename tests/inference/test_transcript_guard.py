from __future__ import annotations

import pytest

from inference.transcript_guard import Doubt, GuardConfig, Guarded, guard


@pytest.mark.parametrize(
    ("text", "speech_s"),
    [
        ("tôi đã chờ ở đây hơn hai tiếng đồng hồ rồi", 3.0),
        ("tôi muốn đăng ký cho cháu khai sinh", 3.0),
        ("đăng ký theo dõi thường trú ở đâu ạ", 3.0),
        ("cảm ơn em đã hướng dẫn rất nhiệt tình", 3.0),
        ("không không không không không một một chín chín chín chín", 6.0),
        ("dạ dạ dạ vâng", 1.5),
        ("hẹn gặp lại em vào sáng thứ hai tuần sau", 3.0),
        ("lâu lâu quá", 1.0),
        ("tôi theo dõi kênh thông tin của phường", 3.0),
        ("cảm ơn cảm ơn em nhiều cảm ơn", 3.0),
        ("số của tôi là không chín một hai ba bốn năm sáu bảy tám không chín một hai ba bốn", 8.0),
        ("tôi nộp hồ sơ lần một rồi nộp hồ sơ lần hai rồi nộp hồ sơ lần ba vẫn chưa xong", 6.0),
    ],
)
def test_believable_text_passes_unchanged(text: str, speech_s: float) -> None:
    assert guard(text, speech_s) == Guarded(text)


@pytest.mark.parametrize(
    ("text", "speech_s", "expected"),
    [
        ("", 2.0, Guarded("", (Doubt.EMPTY,))),
        ("  … ", 2.0, Guarded("", (Doubt.EMPTY,))),
        (
            "hãy subscribe cho kênh ghiền mì gõ để không bỏ lỡ những video hấp dẫn",
            8.0,
            Guarded("", (Doubt.OUTRO,)),
        ),
        ("Hãy đăng ký kênh để ủng hộ chúng mình", 4.0, Guarded("", (Doubt.OUTRO,))),
        ("cảm ơn các bạn đã theo dõi và hẹn gặp lại", 4.0, Guarded("", (Doubt.OUTRO,))),
        ("hẹn gặp lại các bạn trong những video tiếp theo", 4.0, Guarded("", (Doubt.OUTRO,))),
        ("tôi xin cảm ơn hãy subscribe cho kênh nhé", 4.0, Guarded("tôi xin cảm ơn", (Doubt.OUTRO,))),
        ("phụ đề được thực hiện bởi ai đó", 4.0, Guarded("", (Doubt.OUTRO,))),
        ("xin chào xin chào xin chào xin chào xin chào", 5.0, Guarded("", (Doubt.LOOP,))),
        ("chờ lâu quá à à à à à à à à", 5.0, Guarded("chờ lâu quá", (Doubt.LOOP,))),
        ("một hai ba bốn năm sáu bảy tám chín mười một hai ba bốn", 1.0, Guarded("", (Doubt.TOO_FAST,))),
        ("ừ", 6.0, Guarded("", (Doubt.TOO_SPARSE,))),
        ("thank you for watching", 3.0, Guarded("", (Doubt.OUTRO,))),
        ("thanks for watching see you next time", 4.0, Guarded("", (Doubt.OUTRO,))),
        ("please like and subscribe to my channel", 4.0, Guarded("", (Doubt.OUTRO,))),
        ("subtitles by the amara org community", 4.0, Guarded("", (Doubt.OUTRO,))),
        ("các bạn hãy ủng hộ kênh của mình nhé", 4.0, Guarded("", (Doubt.OUTRO,))),
        ("chúc các bạn xem phim vui vẻ", 4.0, Guarded("", (Doubt.OUTRO,))),
        ("cảm ơn cảm ơn cảm ơn cảm ơn cảm ơn", 6.0, Guarded("", (Doubt.LOOP,))),
        (
            "xin chào các bạn xin chào anh các bạn xin chào các bạn xin chào anh các bạn xin chào các bạn",
            8.0,
            Guarded("", (Doubt.LOOP,)),
        ),
    ],
)
def test_invented_text_is_taken_away(text: str, speech_s: float, expected: Guarded) -> None:
    assert guard(text, speech_s) == expected


def test_decomposed_text_is_composed_before_it_is_compared() -> None:
    assert guard("ha\u0303y subscribe cho kênh", 3.0).doubts == (Doubt.OUTRO,)


def test_limits_can_be_moved() -> None:
    assert guard("lâu lâu lâu", 2.0, GuardConfig(repeats_word=3)).doubts == (Doubt.LOOP,)
