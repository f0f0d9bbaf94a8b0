"""The choice of the transcriber: read, refused by key, and shown in health as what really runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from capture.config import ConfigError, VoiceConfig, parse_config
from capture.monitor import EdgeParts, health
from capture.outbox import Outbox
from inference.perception import Perception
from models.bundles import import_bundle
from models.errors import UnknownModel
from models.registry import MODELS_DIR_VARIABLE, Registry
from tests.models.test_whisper_engines import bundle, digest, log  # noqa: F401 - a fixture

COUNTER = '[[counters]]\ncode = "quay-1"\ncamera = "lavfi:testsrc2"\n'


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "outbox.sqlite")
    yield opened
    opened.close()


def test_a_transcriber_is_named_or_left_to_us(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    assert parse_config(COUNTER, path).voice == VoiceConfig(transcriber=None)
    assert parse_config(f'[voice]\ntranscriber = "faster-whisper"\n{COUNTER}', path).voice.transcriber == (
        "faster-whisper"
    )


@pytest.mark.parametrize("line", ['transcribers = "x"', 'transcriber = ""', "transcriber = 3"])
def test_a_wrong_key_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f"[voice]\n{line}\n{COUNTER}", tmp_path / "edge.toml")
    assert "edge.toml:2: " in str(caught.value)


def test_health_names_the_transcriber_that_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    outbox: Outbox,
    log: Path,  # noqa: F811 - the fixture above
) -> None:
    store = tmp_path / "models"
    monkeypatch.setenv(MODELS_DIR_VARIABLE, str(store))
    import_bundle(bundle(tmp_path / "in", "openai-whisper"), store, Registry.default().cards())
    perception = Perception.load(Registry.default(), transcriber="our-whisper")
    try:
        edge = EdgeParts({}, {}, outbox, None, perception, erasure=SimpleNamespace(trouble=None))  # type: ignore[arg-type]  # what health asks of it, and no more
        names = {found["name"]: found["sha256"] for found in health(edge)["models"]}
    finally:
        perception.close()
    assert names["our-whisper"] == digest(b"weights")
    assert "viet-asr" not in names


def test_an_unknown_transcriber_stops_the_load_by_name() -> None:
    with pytest.raises(UnknownModel, match="'nobody' is not a transcriber"):
        Perception.load(Registry.default(), transcriber="nobody")
