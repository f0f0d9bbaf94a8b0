"""What `hailong edge …` says and how it exits."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
import structlog
from typer.testing import CliRunner, Result

from api.server import configure_logging
from capture.commands import edge, log_as_json, quiet_logs
from capture.config import load_config
from inference.perception import Perception
from inference.signal import Signal
from models.registry import Registry
from setup.layout import ROOT

MINI = ROOT / "samples" / "mini"
CONFIG = '[[counters]]\ncode = "quay-1"\ncamera = "lavfi:testsrc2"\n'


@pytest.fixture(scope="module")
def loaded() -> Iterator[Perception]:
    perception = Perception.load(Registry.default())
    yield perception
    perception.close()


@pytest.fixture
def networks(loaded: Perception, monkeypatch: pytest.MonkeyPatch) -> Perception:
    """The real networks, loaded once for all tests of this file."""
    monkeypatch.setattr(Perception, "load", lambda *_, **__: loaded)
    monkeypatch.setattr(Perception, "close", lambda _: None)
    return loaded


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A sample recording with no consent file beside it yet."""
    return Path(shutil.copy(MINI / "mini_happy.mp4", tmp_path / "clip.mp4"))


@pytest.fixture
def silent_clip(tmp_path: Path) -> Path:
    """The same pictures without a sound track."""
    path = tmp_path / "silent.mp4"
    with av.open(str(MINI / "mini_happy.mp4")) as source, av.open(str(path), "w") as out:
        (video,) = source.streams.video
        track = out.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.dts is not None:
                packet.stream = track
                out.mux(packet)
    return path


def call(*words: object, answers: str | None = None) -> Result:
    return CliRunner().invoke(edge, [str(word) for word in words], input=answers)


def sessions(result: Result) -> list[dict[str, Any]]:
    """Return what stands on standard output, which must be one JSON object and nothing else."""
    (line,) = result.stdout.splitlines()
    answer = json.loads(line)
    assert list(answer) == ["sessions"]
    found: list[dict[str, Any]] = answer["sessions"]
    return found


def test_init_writes_what_check_config_accepts(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    answers = [
        "box-7", "data", "https://centre.example",
        "quay-1", "rtsp://user:secret@camera.example/1", "", "right", "y",
        "quay-2", 'file:a "b" \\ c.mp4', "alsa:hw:0", "only", "n",
    ]  # fmt: skip
    result = call("init", path, answers="\n".join(answers) + "\n")
    assert result.exit_code == 0, result.output
    config = load_config(path)
    assert (config.name, config.data_dir) == ("box-7", tmp_path / "data")
    assert config.centre is not None
    assert config.centre.url == "https://centre.example"
    first, second = config.counters
    assert (first.code, first.microphone, first.citizen_channel) == ("quay-1", None, "right")
    assert first.camera == "rtsp://user:secret@camera.example/1"
    assert (second.code, second.microphone, second.citizen_channel) == ("quay-2", "alsa:hw:0", "only")
    assert second.camera == f'file:{tmp_path}/a "b" \\ c.mp4'
    checked = call("check-config", "-c", path)
    assert checked.exit_code == 0
    assert "2 counter(s): quay-1, quay-2" in checked.stdout


def test_init_with_a_useless_answer_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    counter = "quay-1\nlavfi:testsrc2\n\nleft\n"  # twice the same
    result = call("init", path, answers=f"box-7\ndata\n\n{counter}y\n{counter}n\n")
    assert result.exit_code == 2
    assert "quay-1" in result.stderr
    assert "nothing was written" in result.stderr
    assert not path.exists()
    elsewhere = tmp_path / "no-such-folder" / "edge.toml"
    result = call("init", elsewhere, answers="\n\n\n\nlavfi:testsrc2\n\n\nn\n")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_init_asks_again_after_a_slip(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    answers = [
        "Box 7", "box-7", "data", "centre", "https://centre.example",
        "Quay 1", "quay-1", "ftp://camera.example/1", "", "", "alsa:hw:0", "middle", "only", "n",
    ]  # fmt: skip
    result = call("init", path, answers="\n".join(answers) + "\n")
    assert result.exit_code == 0, result.output
    assert result.output.count("Error: ") == 6
    config = load_config(path)
    assert config.name == "box-7"
    (counter,) = config.counters
    assert (counter.code, counter.camera, counter.microphone) == ("quay-1", None, "alsa:hw:0")
    assert counter.citizen_channel == "only"


def test_init_replaces_nothing_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text("mine")
    result = call("init", path)
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert path.read_text() == "mine"
    assert call("init", path, "--force", answers="\n\n\n\nlavfi:testsrc2\n\n\nn\n").exit_code == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "hailong edge init"),
        (CONFIG + "colour = 3\n", "edge.toml:4: unknown key 'counters.0.colour'"),
        (CONFIG.replace("lavfi:", "ftp://"), "camera: Sources of the kind 'ftp' are not supported"),
        (CONFIG.replace("lavfi:testsrc2", "rtsp://user:secret@"), "camera: The RTSP address"),
    ],
)
@pytest.mark.parametrize("command", ["check-config", "run"])
def test_a_wrong_configuration_names_file_and_key(
    tmp_path: Path, command: str, text: str | None, words: str
) -> None:
    if text is not None:
        (tmp_path / "edge.toml").write_text(text, encoding="utf-8")
    result = call(command, "-c", tmp_path / "edge.toml")
    assert result.exit_code == 2
    assert words in result.stderr
    assert "secret" not in result.output


def test_enrol_without_a_centre_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(CONFIG, encoding="utf-8")
    result = call("enrol", "-c", path, "--token", "t")
    assert result.exit_code == 2
    assert "[centre]" in result.stderr


def test_enrol_at_a_centre_that_is_away_fails(tmp_path: Path, unused_port: int) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(f'data_dir = "edge"\n[centre]\nurl = "http://127.0.0.1:{unused_port}"\n{CONFIG}')
    result = call("enrol", "-c", path, "--token", "t")
    assert result.exit_code == 1
    assert "cannot be reached" in result.stderr


def test_a_recording_without_consent_is_not_read(clip: Path) -> None:
    result = call("replay", clip, "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "clip.consent.toml" in result.stderr
    assert "--consent image,voice" in result.stderr


@pytest.mark.parametrize("consent", ["face", "", "image;voice", "quotes"])
def test_unknown_purposes_are_refused(clip: Path, consent: str) -> None:
    result = call("replay", clip, "--consent", consent)
    assert result.exit_code == 2
    assert "image, voice" in result.stderr


def test_an_unknown_channel_is_refused(clip: Path) -> None:
    result = call("replay", clip, "--consent", "image", "--channel", "both")
    assert result.exit_code == 2
    assert "left, right or only" in result.stderr


@pytest.mark.usefixtures("networks")
def test_a_recording_gives_one_documented_object(clip: Path) -> None:
    result = call("replay", clip, "--consent", "image,voice", "--json")
    assert result.exit_code == 0, result.output
    (session,) = sessions(result)
    assert list(session) == ["media", "consent", "signal", "error"]
    assert (session["media"], session["consent"], session["error"]) == (str(clip), "completed", None)
    signal = Signal.model_validate(session["signal"])
    assert signal.quality.face_s > 3
    assert signal.quality.utterances >= 1
    assert signal.overall.score is not None


@pytest.mark.usefixtures("networks")
@pytest.mark.parametrize(
    ("consent", "end"),
    [
        ('decision = "refused"', "refused"),
        ('decision = "silent"', "deferred"),
        ('decision = "given"\npurposes = ["image"]\nwithdraws_after_s = 2', "withdrawn"),
    ],
)
def test_the_consent_file_beside_a_recording_is_obeyed(clip: Path, consent: str, end: str) -> None:
    clip.with_suffix(".consent.toml").write_text(consent, encoding="utf-8")
    result = call("replay", clip, "--json")
    assert result.exit_code == 0, result.output
    (session,) = sessions(result)
    assert (session["consent"], session["signal"], session["error"]) == (end, None, None)


@pytest.mark.usefixtures("networks")
def test_what_the_recording_lacks_is_told_and_less_can_be_asked(silent_clip: Path) -> None:
    result = call("replay", silent_clip, "--consent", "image,voice", "--json")
    assert result.exit_code == 1
    (session,) = sessions(result)
    assert session["signal"] is None
    assert "sound" in session["error"]
    assert str(silent_clip) in result.stderr
    result = call("replay", silent_clip, "--consent", "image", "--json")
    assert result.exit_code == 0, result.output
    (session,) = sessions(result)
    assert session["signal"]["quality"]["face_s"] > 3
    assert session["signal"]["voice_permitted"] is False


@pytest.mark.usefixtures("networks")
def test_bad_recordings_are_told_and_the_others_are_read(tmp_path: Path, clip: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:5000])
    missing = tmp_path / "missing.mp4"
    result = call("replay", broken, missing, clip, "--consent", "image", "--json")
    assert result.exit_code == 1
    found = sessions(result)
    assert [session["signal"] is not None for session in found] == [False, False, True]
    for path, session in zip((broken, missing), found, strict=False):
        assert session["error"]
        assert str(path) in result.stderr


@pytest.mark.usefixtures("networks")
def test_without_json_a_person_can_read_it(clip: Path) -> None:
    result = call("replay", clip, "--consent", "image")
    assert result.exit_code == 0
    assert "consent completed, uncalibrated signal 0." in result.stdout


def test_a_missing_model_says_so(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = next(card for card in Registry.default().cards() if card.name == "face-api-expression")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / card.file.name).write_bytes(b"another network")
    monkeypatch.setenv("HAILONG_MODELS_DIR", str(tmp_path / "models"))
    result = call("replay", clip, "--consent", "image", "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert card.file.name in result.stderr


@pytest.mark.parametrize("choose", [log_as_json, quiet_logs, lambda: configure_logging("info")])
def test_a_log_outlives_the_stream_that_was_there_when_its_place_was_chosen(
    choose: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = structlog.get_logger("test")
    with monkeypatch.context() as replaced, io.StringIO() as first:
        replaced.setattr(sys, "stderr", first)
        choose()
        log.error("to the first")
        assert "to the first" in first.getvalue()
    later = io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)
    log.error("to the later")
    assert "to the later" in later.getvalue()
