"""Say a sentence as the South or the Centre says it: the same label in other words.

Only words that every speaker of the region knows, each replaced by chance, so that a
fitted model meets both forms. The lists are ours and small; accents are not spelled.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

_Words = Mapping[str, tuple[str, ...]]

SOUTH: Final[_Words] = {
    "anh ấy": ("ảnh",),
    "cô ấy": ("cổ",),
    "chị ấy": ("chỉ", "bả"),
    "ông ấy": ("ổng",),
    "thế này": ("vầy",),
    "thế nào": ("sao",),
    "không": ("hổng", "hông", "không có"),
    "chẳng": ("hổng",),
    "tôi": ("tui",),
    "thế": ("vậy", "dậy"),
    "nhanh": ("lẹ", "mau"),
    "đắt": ("mắc",),
    "bố": ("ba", "tía"),
    "mẹ": ("má",),
    "về": ("dìa", "về"),
    "vào": ("vô",),
    "hỏng": ("hư",),
    "thật": ("thiệt",),
    "xem": ("coi",),
    "nhé": ("nghen", "nha"),
    "bảo": ("kêu", "biểu"),
    "muộn": ("trễ",),
    "quá": ("quá trời", "dữ thần", "quá"),
    "lắm": ("dữ lắm", "lắm luôn"),
    "nhỉ": ("ha", "hén"),
    "bẩn": ("dơ",),
    "mắng": ("la", "rầy"),
    "quay lại": ("quành lại",),
    "ở đây": ("ở đây", "đây nè"),
}
CENTRE: Final[_Words] = {
    "bây giờ": ("chừ", "bây chừ"),
    "thế này": ("ri", "như ri"),
    "thế nào": ("răng",),
    "bao giờ": ("khi mô",),
    "hôm nay": ("bữa ni",),
    "hôm qua": ("bữa qua",),
    "không": ("nỏ", "khôn", "không"),
    "chẳng": ("nỏ",),
    "tôi": ("tui",),
    "đâu": ("mô",),
    "sao": ("răng",),
    "thế": ("rứa",),
    "vậy": ("rứa",),
    "này": ("ni",),
    "kia": ("tê",),
    "ấy": ("nớ",),
    "gì": ("chi",),
    "giờ": ("chừ",),
    "làm": ("mần", "làm"),
    "cô": ("o",),
    "bà": ("mệ",),
    "mẹ": ("mạ",),
    "bố": ("bọ",),
    "thấy": ("chộ",),
    "hôm": ("bữa",),
    "nhanh": ("mau",),
    "thật": ("thiệt",),
    "vào": ("vô",),
    "nhỉ": ("hè",),
    "quá": ("quá hè", "quá"),
}
REGIONS: Final = (SOUTH, CENTRE)
_CHANCE: Final = 0.75


def say_as(text: str, region: _Words, dice: random.Random) -> str:
    """Return the text with words of a region, pairs before single words; it may stay as it is."""
    words = text.split()
    said: list[str] = []
    at = 0
    while at < len(words):
        for length in (2, 1):
            options = region.get(" ".join(words[at : at + length]))
            if options and len(words[at : at + length]) == length and dice.random() < _CHANCE:
                said.append(dice.choice(options))
                at += length
                break
        else:
            said.append(words[at])
            at += 1
    return " ".join(said)
