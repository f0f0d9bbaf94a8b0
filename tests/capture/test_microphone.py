from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from capture.address import parse_address
from capture.errors import DeviceMissing, SourceAddressError
from capture.microphone import Microphone
from capture.synthetic import synthetic_camera
from consent.purpose import Purpose
from inference.media import AudioChunk

VOICE = frozenset({Purpose.VOICE})


def test_no_sound_card(tmp_path: Path) -> None:
    cards = tmp_path / "cards"
    cards.write_text("--- no soundcards ---\n", encoding="utf-8")
    for place in (cards, tmp_path / "absent"):
        with pytest.raises(DeviceMissing, match=r"no sound card, so no microphone alsa:hw:0\. Plug"):
            Microphone(parse_address("alsa:hw:0"), cards=place).open(VOICE)


def test_a_card_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    cards = tmp_path / "cards"
    cards.write_text(
        " 1 [Headset        ]: USB-Audio - USB Headset\n   Maker USB Headset\n", encoding="utf-8"
    )
    with pytest.raises(DeviceMissing, match=r"no sound card 0 .*Cards here: 1 \[Headset *\]: USB-Audio"):
        Microphone(parse_address("alsa:hw:0"), cards=cards).open(VOICE)


def test_options_become_those_of_ffmpeg() -> None:
    how = Microphone(parse_address("alsa:hw:1,0?channels=1&rate=48000"))._opening(VOICE)
    assert (how.target, how.format) == ("hw:1,0", "alsa")
    assert how.options == {"channels": "1", "sample_rate": "48000"}
    assert Microphone(parse_address("alsa:default"))._opening(VOICE).options["channels"] == "2"


def test_a_microphone_wants_its_own_kind_of_address() -> None:
    with pytest.raises(SourceAddressError, match="is not an alsa: address"):
        Microphone(parse_address("v4l2:/dev/video0"))


@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("4.0", 2)])
def test_channels_are_kept_and_never_mixed(layout: str, channels: int) -> None:
    # ALSA is not on every machine; a graph of the same form takes the same path.
    names = {
        "mono": "0.5*sin(2*PI*500*t)",
        "stereo": "0.5*sin(2*PI*500*t)|0",
        "4.0": "0.5*sin(2*PI*500*t)|0|0.5|0.5",
    }
    device = synthetic_camera(f"aevalsrc='{names[layout]}':s=48000:c={layout}").open(VOICE)
    chunk = device.read()
    device.close()
    assert isinstance(chunk, AudioChunk)
    assert chunk.samples.shape == (channels, 1024)
    loudness = np.abs(chunk.samples.astype(int)).max(axis=1)
    assert loudness[0] > 15_000
    assert all(loudness[1:] < 50)
