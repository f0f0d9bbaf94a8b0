"""`hailong eval voice-activity`: false alarms and misses of voice activity, alone and with the gates.

Three readings of the same sound: the network alone, the citizen's gate with one microphone, and the
comparison of two microphones. Speech is not the citizen's where it is faint, lost in noise, from far
away, or as loud in the officer's microphone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from inference.evaluation_roles import RATE_HZ, TURN_LEVEL_DBFS, levelled, pink, speaking_windows
from inference.evaluation_speech import ManifestError, SoundUnreadableError, load_sound
from inference.role_reference import manifest_entries, spans, windows_spoken
from inference.roles import WINDOW, ChannelWindow, Role, RoleConfig, RoleTracker, window_power

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.voice_activity import VoiceActivity

KINDS: Final = ("silence", "white", "pink", "hum", "music", "babble")
_LEAD_S: Final = 12.0
"""Speech of the citizen before the noise: the gate learns their level from it."""
_TALKERS: Final = 5
_MUSIC_HZ: Final = (220.0, 261.6, 329.6, 392.0, 440.0, 523.3)


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found in one sound, a value a window of 32 ms.

    Attributes:
        network: The network alone called it speech.
        one_microphone: The gate of one microphone called it the citizen's.
        two_microphones: The comparison of two called it the citizen's.
    """

    network: NDArray[np.bool_]
    one_microphone: NDArray[np.bool_]
    two_microphones: NDArray[np.bool_]


def detect(sound: NDArray[np.int16], vad_factory: Callable[[], VoiceActivity]) -> tuple[Detections, float]:
    """Read a sound of one or two channels in the three ways.

    Args:
        sound: int16, shape (1 or 2, n), 16 kHz, the citizen's microphone first. With one, the reading
            of two is that of one.
        vad_factory: Makes a voice activity stream.

    Returns:
        The detections, and seconds of processor time of the network on one channel.
    """
    count = sound.shape[1] // WINDOW
    started = time.process_time()
    chances = [_chances(sound[0], vad_factory, count)]
    spent_s = time.process_time() - started
    chances += [_chances(channel, vad_factory, count) for channel in sound[1:]]
    config = RoleConfig(single_channel="citizen")
    network = np.zeros(count, np.bool_)
    speaking = False
    for index, chance in enumerate(chances[0]):
        speaking = chance >= (config.speech_off if speaking else config.speech_on)
        network[index] = speaking
    one = _citizens(sound[:1], chances, config)
    return Detections(network, one, one if len(sound) == 1 else _citizens(sound, chances, config)), spent_s


def run_manifest(
    manifest: Path, vad_factory: Callable[[], VoiceActivity], progress: Callable[[int, int], None]
) -> dict[str, object]:
    """Measure recordings with marked speech.

    Args:
        manifest: JSON Lines with `audio` and `speech`: [[start, end], …] in seconds.
        vad_factory: Makes a voice activity stream.
        progress: Told done and total.

    Returns:
        For each reading `false_alarms` (share of the windows without speech that were called speech)
        and `misses` (share of those with speech that were not); windows, seconds, `ms_per_s`.

    Raises:
        ManifestError: The manifest or a recording cannot be used.
    """
    entries = manifest_entries(manifest)
    truths, found, spent_s = [], [], 0.0
    for done, (number, entry) in enumerate(entries):
        progress(done, len(entries))
        where = f"{manifest}, line {number}"
        if not isinstance(entry.get("speech"), list):
            raise ManifestError(f"{where}: 'speech' is missing. Write [[start, end], …] in seconds.")
        marked = [spans(stretch, where) for stretch in entry["speech"]]
        try:
            sound = load_sound(manifest.parent / entry["audio"])
        except SoundUnreadableError as error:
            raise ManifestError(f"{where}: {error}") from error
        detections, spent = detect(sound, vad_factory)
        spent_s += spent
        truths.append(windows_spoken(marked, len(detections.network)))
        found.append(detections)
    progress(len(entries), len(entries))
    truth = np.concatenate(truths)
    audio_s = len(truth) * WINDOW / RATE_HZ
    return {
        "n": len(entries),
        "audio_s": round(audio_s, 2),
        "speech_windows": int(truth.sum()),
        "other_windows": int((~truth).sum()),
        "network": _rates(np.concatenate([entry.network for entry in found]), truth),
        "one_microphone": _rates(np.concatenate([entry.one_microphone for entry in found]), truth),
        "ms_per_s": round(1000.0 * spent_s / max(audio_s, 1e-9), 2),
    }


def run_mix(
    clips: Path,
    vad_factory: Callable[[], VoiceActivity],
    progress: Callable[[int, int], None],
    *,
    snrs_db: Sequence[float] = (20.0, 10.0, 5.0),
    noise_s: float = 60.0,
    seed: int = 1,
) -> dict[str, object]:
    """Measure clean clips before and in noise: `noise_s` of each kind at each level.

    Args:
        clips: JSON Lines with `audio`: clean speech of single people.
        vad_factory: Makes a voice activity stream.
        progress: Told done and total.
        snrs_db: Level of the citizen's speech over the noise.
        noise_s: Seconds of noise without the citizen.
        seed: Seed of clips and noise.

    Returns:
        For each kind and level, `false_alarms` in the noise alone and `misses` in speech with that
        noise, for the network, one microphone and two; `ms_per_s`.

    Raises:
        ManifestError: The manifest cannot be used.
    """
    rng = np.random.default_rng(seed)
    files = [clips.parent / entry["audio"] for _, entry in manifest_entries(clips)]
    picked = [files[index] for index in rng.permutation(len(files))]
    lead = _speech(picked, round(_LEAD_S * RATE_HZ))
    others = [levelled(load_sound(path)[0]) for path in picked[len(picked) // 2 :]]
    speaks = speaking_windows(lead)
    figures: dict[str, object] = {"noise_s": noise_s, "seed": seed}
    steps = [(kind, snr) for kind in KINDS for snr in (snrs_db if kind != "silence" else (np.inf,))]
    spent_s = heard_s = 0.0
    for done, (kind, snr_db) in enumerate(steps):
        progress(done, len(steps))
        level = 10.0 ** ((TURN_LEVEL_DBFS - snr_db) / 20.0)
        length = len(lead) + round(noise_s * RATE_HZ / WINDOW) * WINDOW
        noise = noise_of(kind, length + RATE_HZ, rng, others) * level
        # What comes from further away reaches both microphones about alike, a few milliseconds apart.
        both = np.stack([noise[:length], noise[80 : 80 + length]])
        hiss = 10.0 ** (-70.0 / 20.0)
        both += rng.standard_normal(both.shape) * hiss
        speech = np.zeros(length)
        speech[: len(lead)] = lead
        both += np.stack([speech, speech * 10.0 ** (-10.0 / 20.0)])
        sound = np.clip(np.round(both * 32768.0), -32768, 32767).astype(np.int16)
        found, spent = detect(sound, vad_factory)
        spent_s, heard_s = spent_s + spent, heard_s + length / RATE_HZ
        truth = np.zeros(len(found.network), np.bool_)
        truth[: len(speaks)] = speaks
        counted = truth.copy()
        counted[len(speaks) + round(RATE_HZ / WINDOW) :] = True  # the last word's second is neither
        name = kind if kind == "silence" else f"{kind} {snr_db:g} dB"
        figures[name] = {
            reading: _rates(getattr(found, reading)[counted], truth[counted])
            for reading in ("network", "one_microphone", "two_microphones")
        }
    progress(len(steps), len(steps))
    return figures | {"ms_per_s": round(1000.0 * spent_s / max(heard_s, 1e-9), 2)}


def noise_of(
    kind: str, length: int, rng: np.random.Generator, talkers: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return noise of unit power.

    Args:
        kind: One of `KINDS`.
        length: Samples.
        rng: Source of what is random.
        talkers: Clean turns that babble is made of, five at a time.
    """
    t = np.arange(length) / RATE_HZ
    if kind == "silence":
        return np.zeros(length)
    if kind == "white":
        made = rng.standard_normal(length)
    elif kind == "pink":
        made = pink(length, rng)
    elif kind == "hum":
        made = np.sum([np.sin(2.0 * np.pi * 50.0 * k * t) / k for k in range(1, 8)], axis=0)
    elif kind == "music":
        made = _music(t, rng)
    elif kind == "babble":
        made = np.zeros(length)
        for _ in range(_TALKERS):
            order = rng.permutation(len(talkers))
            made += np.resize(np.concatenate([talkers[index] for index in order]), length)
    else:
        raise ValueError(f"There is no noise called {kind}. Choose one of {', '.join(KINDS)}.")
    return np.asarray(made / np.sqrt(np.mean(np.square(made))))


def _music(t: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Play chords of three decaying notes with overtones, two a second."""
    made = np.zeros(len(t))
    step = RATE_HZ // 2
    for start in range(0, len(t), step):
        part = t[start : start + step] - t[start]
        for note in rng.choice(_MUSIC_HZ, size=3, replace=False):
            for overtone in range(1, 5):
                made[start : start + step] += (
                    np.sin(2 * np.pi * note * overtone * part) / overtone * np.exp(-2.0 * part)
                )
    return made


def _speech(files: Sequence[Path], length: int) -> NDArray[np.float64]:
    parts: list[NDArray[np.float64]] = []
    while sum(map(len, parts)) < length:
        parts.append(levelled(load_sound(files[len(parts) % len(files)])[0]))
    return np.concatenate(parts)[: length // WINDOW * WINDOW]


def _chances(sound: NDArray[np.int16], vad_factory: Callable[[], VoiceActivity], count: int) -> list[float]:
    stream = vad_factory()
    return [stream.probability(sound[index * WINDOW : (index + 1) * WINDOW]) for index in range(count)]


def _citizens(
    sound: NDArray[np.int16], chances: Sequence[list[float]], config: RoleConfig
) -> NDArray[np.bool_]:
    """Return which windows the roles of these channels call the citizen's."""
    tracker = RoleTracker(config)
    roles: list[Role] = []
    for index, chance in enumerate(chances[0]):
        window = sound[:, index * WINDOW : (index + 1) * WINDOW]
        two = len(sound) > 1
        role = tracker.push(
            ChannelWindow(
                citizen_power=window_power(window[0]),
                officer_power=window_power(window[1]) if two else None,
                citizen_speech=chance,
                officer_speech=chances[1][index] if two else 0.0,
            )
        )
        if role is not None:
            roles.append(role)
    roles += tracker.flush()
    return np.array([role is Role.CITIZEN for role in roles], np.bool_)


def _rates(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> dict[str, float | None]:
    """Return false alarms and misses; None where there was nothing to be wrong about."""
    other, speech = said[~truth], ~said[truth]
    return {
        "false_alarms": round(float(other.mean()), 4) if other.size else None,
        "misses": round(float(speech.mean()), 4) if speech.size else None,
    }
