"""An officer alone gives no score: in the whole program, with the seats swapped too, and in no field."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from inference.signal import Signal
from setup.layout import ROOT
from tests.test_real_recordings import citizen, join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BLEED_DB = -14.0


def officer(sound: NDArray[np.int16]) -> NDArray[np.int16]:
    """Let the same voice speak at the officer's microphone and bleed into the citizen's."""
    loud = sound[0].astype(np.float64)
    noise = sound[1].astype(np.float64)
    mixed = np.stack((loud * 10 ** (BLEED_DB / 20) + noise, loud))
    clipped: NDArray[np.int16] = np.clip(mixed, -32_768, 32_767).astype(np.int16)
    return clipped


def read(media: list[Path], channel: str) -> list[dict[str, Any] | None]:
    command = [sys.executable, "-m", "hailong", "edge", "replay", *map(str, media), "--channel", channel]
    done = subprocess.run(
        [*command, "--consent", "image,voice", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sessions = json.loads(done.stdout)["sessions"]
    assert {(session["consent"], session["error"]) for session in sessions} == {("completed", None)}
    return [session["signal"] for session in sessions]


@pytest.mark.parametrize("seat", ["left", "right"])
def test_an_officer_who_speaks_alone_gives_no_score(
    recordings: Path, shared: Path, seed: int, tmp_path: Path, seat: str
) -> None:
    """The chair is empty; the control: the same words from the citizen's seat are heard."""
    sound = citizen(shared / "data" / "speech" / "common_voice_vi.jsonl", range(12, 13), seed)
    alone, control = tmp_path / "officer.mp4", tmp_path / "citizen.mp4"
    swap = slice(None, None, -1) if seat == "right" else slice(None)
    join(recordings / "no_face.mp4", officer(sound)[swap], alone)
    join(recordings / "no_face.mp4", sound[swap], control)
    found, heard = read([alone, control], seat)
    if found is not None:
        assert found["overall"]["score"] is None
        assert found["change"]["delta"] is None
        assert found["quality"]["utterances"] == 0
    assert heard is not None
    assert heard["quality"]["utterances"] >= 1


def _names(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.get("properties", {}).items():
            yield key
            yield from _names(value)
        for key, value in schema.items():
            if key != "properties":
                yield from _names(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _names(item)


def test_no_field_of_a_signal_could_hold_an_officers_score() -> None:
    names = set(_names(Signal.model_json_schema()))
    assert "score" in names, "the walk finds fields"
    assert not {name for name in names if any(word in name for word in ("officer", "staff", "employee"))}
