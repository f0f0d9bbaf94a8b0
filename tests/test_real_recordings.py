"""Real people in motion with real Vietnamese speech under them, through `hailong edge replay`.

The pictures come out of a package's test data, the speech out of the evaluation data; both are
joined in a temporary folder and never kept. The consent is a fixture, not a data subject's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from inference.evaluation_speech import load_sound
from setup.layout import ROOT

pytestmark = pytest.mark.timeout(900)  # a minute on a quiet machine

RATE = 16_000
PIECE = 1024
STRETCH = 10
"""How many times longer the smile is shown, so that its 2.4 s become a short visit of 24 s."""


def join(pictures: Path, sound: NDArray[np.int16], out: Path, *, stretch: int = 1) -> None:
    """Copy a video track and put a two-channel sound of the same length under it."""
    with av.open(str(pictures)) as source, av.open(str(out), "w") as target:
        video = source.streams.video[0]
        length_s = float((video.duration or 0) * (video.time_base or 0)) * stretch
        copied, spoken = target.add_stream_from_template(video), target.add_stream("aac", rate=RATE)
        spoken.layout = "stereo"
        for packet in source.demux(video):
            if packet.dts is None or packet.pts is None:
                continue
            packet.dts, packet.pts = packet.dts * stretch, packet.pts * stretch
            packet.stream = copied
            target.mux(packet)
        under = np.zeros((2, int(length_s * RATE)), np.int16)
        shown = min(under.shape[1], sound.shape[1])
        under[:, :shown] = sound[:, :shown]
        for start in range(0, under.shape[1], PIECE):
            values = np.ascontiguousarray(under[:, start : start + PIECE], np.float32) / 32_768
            piece = av.AudioFrame.from_ndarray(values, format="fltp", layout="stereo")
            piece.sample_rate, piece.pts = RATE, start
            target.mux(spoken.encode(piece))
        target.mux(spoken.encode(None))


def citizen(manifest: Path, clips: range, seed: int) -> NDArray[np.int16]:
    """Lay clips after one another on the left channel; the right one hears faint noise only."""
    entries = manifest.read_text(encoding="utf-8").splitlines()
    pause = np.zeros(RATE * 4 // 5, np.int16)
    parts = [
        part
        for index in clips
        for part in (pause, load_sound(manifest.parent / json.loads(entries[index])["audio"])[0])
    ]
    left = np.concatenate(parts).astype(np.float64)
    noise = np.random.default_rng(seed).normal(0.0, 20.0, (2, left.shape[0]))
    mixed = noise + np.stack((left, np.zeros_like(left)))
    return np.clip(mixed, -32_768, 32_767).astype(np.int16)


def replayed(media: list[Path], consent: str) -> dict[str, Any]:
    """Run the command as a user does; return its sessions by the stem of the file."""
    command = [sys.executable, "-m", "hailong", "edge", "replay", *map(str, media), "--consent", consent]
    done = subprocess.run(
        [*command, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=850, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (printed,) = done.stdout.splitlines()
    sessions = json.loads(printed)["sessions"]
    assert [session["media"] for session in sessions] == [str(path) for path in media]
    assert {(session["consent"], session["error"]) for session in sessions} == {("completed", None)}
    return {Path(session["media"]).stem: session["signal"] for session in sessions}


@pytest.fixture(scope="module")
def signals(
    recordings: Path, shared: Path, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The signals of every recording with speech under it, image and voice given."""
    folder = tmp_path_factory.mktemp("joined")
    manifest = shared / "data" / "speech" / "common_voice_vi.jsonl"
    plan = {
        "WolfgangLanger_Pexels.mp4": (range(4), 1),
        "face_noface.mov": (range(6, 7), 1),
        "noface_face.mov": (range(18, 19), 1),
        "no_face.mp4": (range(12, 13), 1),
        "single_face.mp4": (range(24, 25), STRETCH),
    }
    media = []
    for name, (clips, stretch) in plan.items():
        media.append(folder / f"{Path(name).stem}.mp4")
        join(recordings / name, citizen(manifest, clips, seed), media[-1], stretch=stretch)
    return replayed(media, "image,voice")


def test_distress_that_ends_in_laughter_is_a_change_for_the_better(signals: dict[str, Any]) -> None:
    signal = signals["WolfgangLanger_Pexels"]
    change, overall, quality = signal["change"], signal["overall"], signal["quality"]
    assert change["abstained"] is None
    assert change["delta"] > 0.15
    assert -1.0 <= change["low"] < change["delta"] < change["high"] <= 1.0
    assert 0.0 <= overall["low"] < overall["score"] < overall["high"] <= 1.0
    assert 18.0 <= quality["face_s"] <= 20.0
    assert 4.0 <= quality["speech_s"] <= 15.0
    assert quality["utterances"] >= 3
    assert quality["noise_dbfs"] < -45.0
    assert (quality["gaps"], quality["gap_s"]) == (0, 0.0)
    assert {model["name"] for model in signal["models"]} >= {"face-api-expression", "silero-vad", "viet-asr"}


def test_a_smile_is_a_change_for_the_better(signals: dict[str, Any]) -> None:
    signal = signals["single_face"]
    assert signal["change"]["abstained"] is None
    assert signal["change"]["delta"] > 0.1
    assert signal["quality"]["face_s"] > 20.0


def test_where_nobody_is_in_the_picture_no_face_is_read(signals: dict[str, Any]) -> None:
    signal = signals["no_face"]
    assert signal["quality"]["face_s"] == 0.0
    assert signal["quality"]["utterances"] >= 1, "the words alone make this signal"
    assert signal["change"]["abstained"] == "too_little_evidence"


@pytest.mark.parametrize("name", ["face_noface", "noface_face"])
def test_only_the_part_with_a_face_counts(signals: dict[str, Any], name: str) -> None:
    assert 1.5 <= signals[name]["quality"]["face_s"] <= 3.5, "the face is there for 2.4 s of 6.4 s"
    assert signals[name]["change"]["abstained"] == "too_little_evidence"


def test_image_alone_reads_the_face_and_hears_nothing(recordings: Path) -> None:
    media = [recordings / "WolfgangLanger_Pexels.mp4", recordings / "no_face.mp4"]
    found = replayed(media, "image")
    assert found["no_face"] is None, "an empty seat gives no signal"
    signal = found["WolfgangLanger_Pexels"]
    assert signal["change"]["low"] > 0.0
    assert signal["overall"]["score"] > 0.5
    assert (signal["image_permitted"], signal["voice_permitted"]) == (True, False)
    assert signal["factors"] == []
    heard = [signal["quality"][key] for key in ("speech_s", "utterances", "noise_dbfs", "dropped_s")]
    assert heard == [0.0, 0, None, 0.0]
