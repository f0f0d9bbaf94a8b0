from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from models.errors import InputError
from models.registry import Registry
from models.voice_activity import WINDOW, VoiceActivity, VoiceActivityNetwork, load_voice_activity

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def network() -> VoiceActivityNetwork:
    return load_voice_activity(Registry.default())


def sound(path: Path) -> NDArray[np.int16]:
    """Decode the first sound track to mono 16 kHz (of two channels: their mean)."""
    resampler = av.AudioResampler("s16", "mono", 16_000)
    with av.open(str(path)) as container:
        parts = [
            part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)
        ]
    return np.concatenate(parts).astype(np.int16)


def chances(channel: VoiceActivity, samples: NDArray[np.int16]) -> NDArray[np.float64]:
    starts = range(0, len(samples) - WINDOW + 1, WINDOW)
    return np.array([channel.probability(samples[start : start + WINDOW]) for start in starts])


def test_silence_is_no_speech(network: VoiceActivityNetwork) -> None:
    assert chances(network.stream(), np.zeros(50 * WINDOW, np.int16)).max() < 0.1


def test_noise_is_no_speech(network: VoiceActivityNetwork, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 500, 150 * WINDOW).astype(np.int16)
    assert (chances(network.stream(), noise)[5:] > 0.5).mean() < 0.05


def test_people_speaking_are_heard(network: VoiceActivityNetwork, shared: Path) -> None:
    heard = chances(network.stream(), sound(shared / "media" / "satisfied.mp4"))
    assert (heard > 0.5).mean() > 0.4
    clip = min((shared / "data" / "speech" / "clips").iterdir())
    assert (chances(network.stream(), sound(clip)) > 0.5).mean() > 0.4
    assert (chances(network.stream(), sound(shared / "media" / "nobody.mp4")) > 0.5).mean() < 0.05


def test_channels_do_not_hear_each_other(network: VoiceActivityNetwork, shared: Path) -> None:
    speech = sound(min((shared / "media" / "mini").glob("*.mp4")))[: 60 * WINDOW]
    alone = chances(network.stream(), speech)
    one, other = network.stream(), network.stream()
    mixed = []
    for start in range(0, len(speech) - WINDOW + 1, WINDOW):
        mixed.append(one.probability(speech[start : start + WINDOW]))
        other.probability(np.zeros(WINDOW, np.int16))
    assert mixed == pytest.approx(alone.tolist())


def test_reset_forgets(network: VoiceActivityNetwork, shared: Path) -> None:
    speech = sound(min((shared / "data" / "speech" / "clips").iterdir()))[: 60 * WINDOW]
    channel = network.stream()
    first = chances(channel, speech)
    unlike = chances(channel, speech)
    channel.reset()
    again = chances(channel, speech)
    assert again == pytest.approx(first)
    assert unlike[0] != pytest.approx(first[0], abs=1e-6)


@pytest.mark.parametrize(
    "window",
    [
        np.zeros(511, np.int16),
        np.zeros(513, np.int16),
        np.zeros(0, np.int16),
        np.zeros((1, 512), np.int16),
        np.zeros(512, np.float32),
    ],
)
def test_what_is_no_window_is_refused(network: VoiceActivityNetwork, window: Any) -> None:
    with pytest.raises(InputError, match="512"):
        network.stream().probability(window)


def test_the_version_is_the_cards(network: VoiceActivityNetwork) -> None:
    assert network.version_of() == network.stream().version_of()
    assert network.version_of()[:2] == ("silero-vad", "6.2.3")
