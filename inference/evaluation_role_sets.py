"""`hailong eval roles`: naming of speakers on recordings or simulated counters, two channels and one."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import numpy as np

from inference.evaluation_roles import Dialogue, RoleScores, named, score
from inference.evaluation_speech import RATE_HZ, ManifestError, SoundUnreadableError, load_sound
from inference.one_channel import roles_by_place
from inference.role_reference import manifest_entries, read_references, windows_spoken
from inference.role_scenes import Scene, simulate
from inference.roles import WINDOW, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.diarisers import Diariser
    from models.voice_activity import VoiceActivity

SCENES: Final = {
    **{
        f"bleed {bleed:g} dB, noise {noise:g} dB": Scene(bleed_db=bleed, snr_db=noise)
        for noise in (25.0, 10.0)
        for bleed in (-15.0, -10.0, -6.0, -3.0)
    },
    "overlap 10 %": Scene(overlap=0.1),
    "overlap 20 %": Scene(overlap=0.2),
    "bleed -3 dB, overlap 20 %": Scene(bleed_db=-3.0, overlap=0.2),
    "citizen's microphone +6 dB": Scene(citizen_gain_db=6.0),
    "citizen's microphone -6 dB": Scene(citizen_gain_db=-6.0),
    "bleed -6 dB, citizen's microphone +6 dB": Scene(bleed_db=-6.0, citizen_gain_db=6.0),
    "bleed -6 dB, citizen's microphone -6 dB": Scene(bleed_db=-6.0, citizen_gain_db=-6.0),
    "officer 6 dB louder": Scene(officer_db=6.0),
    "citizen 6 dB softer": Scene(citizen_db=-6.0),
    "queue at -10 dB": Scene(queue_db=-10.0),
    "all at once": Scene(-6.0, 15.0, 0.15, 0.5, -3.0, 3.0, -3.0, -10.0),
}
"""What `--mix` plays; each in a room of 0.4 s unless it says otherwise."""
_LEAST_PEOPLE: Final = 3


def run_manifest(
    manifest: Path,
    vad_factory: Callable[[], VoiceActivity],
    diariser: Diariser | None,
    progress: Callable[[int, int], None],
) -> dict[str, object]:
    """Measure recordings of two channels with known turns.

    Returns:
        `two_channels` and, with a diariser, `one_channel` (its first channel): the fields of
        `RoleScores`, over all recordings; `recordings`, `audio_s`, `ms_per_s`.

    Raises:
        ManifestError: The manifest or a recording cannot be used.
    """
    dialogues = []
    references = read_references(manifest)
    for reference in references:
        try:
            sound = load_sound(reference.audio, channels=2)
        except SoundUnreadableError as error:
            raise ManifestError(f"{manifest}, line {reference.line}: {error}") from error
        count = sound.shape[1] // WINDOW
        spoken = {
            role: windows_spoken(
                [(turn.start_s, turn.end_s) for turn in reference.turns if turn.role is role], count
            )
            for role in (Role.CITIZEN, Role.OFFICER)
        }
        dialogues.append(Dialogue(sound[:, : count * WINDOW], spoken[Role.CITIZEN], spoken[Role.OFFICER], ()))
    return {"recordings": len(dialogues)} | _measured(dialogues, vad_factory, diariser, progress)


def run_mix(
    clips: Path,
    vad_factory: Callable[[], VoiceActivity],
    diariser: Diariser | None,
    progress: Callable[[int, int], None],
    *,
    seeds: Sequence[int] = (1, 2, 3),
    turns: int = 5,
) -> dict[str, object]:
    """Measure simulated counters of single recordings; each `SCENES` once a seed.

    Args:
        clips: JSON Lines with `audio` and `speaker`: at least three people with two clips or more.
        vad_factory: Makes a voice activity stream.
        diariser: For the one-channel figures; None leaves them out.
        progress: Told done and total.
        seeds: Each picks people, pauses, rooms and noise.
        turns: Turns of each person, at most.

    Raises:
        ManifestError: The manifest cannot be used, or has too few people.
    """
    people: defaultdict[str, list[Path]] = defaultdict(list)
    for number, entry in manifest_entries(clips):
        people[str(entry.get("speaker", number))].append(clips.parent / entry["audio"])
    several = {name: files for name, files in people.items() if len(files) > 1}
    if len(several) < _LEAST_PEOPLE:
        raise ManifestError(
            f"{clips} names {len(several)} people ('speaker') with two clips or more; "
            f"{_LEAST_PEOPLE} are needed: citizen, officer and queue."
        )
    figures: dict[str, object] = {"seeds": list(seeds)}
    for done, (name, scene) in enumerate(SCENES.items()):
        progress(done, len(SCENES))
        dialogues = []
        for seed in seeds:
            citizen, officer, queue = _people(several, seed, turns)
            dialogues.append(simulate(citizen, officer, scene, seed=seed, queue=queue))
        figures[name] = _measured(dialogues, vad_factory, diariser, lambda _done, _total: None)
    progress(len(SCENES), len(SCENES))
    return figures


def _people(people: dict[str, list[Path]], seed: int, turns: int) -> tuple[list[NDArray[np.int16]], ...]:
    """Pick three people; the first two get as many turns as both have clips."""
    names = sorted(people)
    picked = [names[index] for index in np.random.default_rng(seed).permutation(len(names))[:_LEAST_PEOPLE]]
    count = min(turns, len(people[picked[0]]), len(people[picked[1]]))
    return tuple([load_sound(path)[0] for path in people[name][:count]] for name in picked)


def _measured(
    dialogues: Sequence[Dialogue],
    vad_factory: Callable[[], VoiceActivity],
    diariser: Diariser | None,
    progress: Callable[[int, int], None],
) -> dict[str, object]:
    scores: dict[str, list[RoleScores]] = {"two_channels": [], "one_channel": []}
    spent = {"two_channels": 0.0, "one_channel": 0.0}
    audio_s = 0.0
    for done, dialogue in enumerate(dialogues):
        progress(done, len(dialogues))
        audio_s += dialogue.samples.shape[1] / RATE_HZ
        started = time.process_time()
        roles = named(dialogue, vad_factory)
        spent["two_channels"] += time.process_time() - started
        scores["two_channels"].append(score(dialogue, roles))
        if diariser is not None:
            started = time.process_time()
            sound = dialogue.samples[0]
            roles = roles_by_place(sound, diariser.turns(sound))
            spent["one_channel"] += time.process_time() - started
            scores["one_channel"].append(score(dialogue, roles))
    progress(len(dialogues), len(dialogues))
    figures: dict[str, object] = {"audio_s": round(audio_s, 2)}
    for kind, found in scores.items():
        if found:
            figures[kind] = together(found) | {
                "ms_per_s": round(1000.0 * spent[kind] / max(audio_s, 1e-9), 2)
            }
    return figures


def together(scores: Sequence[RoleScores]) -> dict[str, float | int | None]:
    """Average scores by the windows they were taken over; accuracy is None where nobody was named."""
    weights = np.array([entry.windows for entry in scores], np.float64)
    named_weights = weights * np.array([1.0 - entry.dropped - entry.missed for entry in scores])
    figures: dict[str, float | int | None] = {}
    for name in (*asdict(scores[0]),):
        values = np.array([getattr(entry, name) for entry in scores], np.float64)
        if name == "windows":
            figures[name] = int(weights.sum())
        else:
            used = named_weights if name == "accuracy" else weights
            figures[name] = round(float(values @ used / used.sum()), 4) if used.sum() > 0 else None
    return figures
