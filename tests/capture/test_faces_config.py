"""The choice of networks for faces: read, refused by key, and handed to what loads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from capture.bench import bench
from capture.commands import edge
from capture.config import ConfigError, EdgeConfig, FacesConfig, parse_config
from capture.worker import EdgeWorker
from inference.perception import Perception
from models.errors import UnknownModel
from models.registry import Registry
from setup.layout import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import typer

COUNTER = '[[counters]]\ncode = "quay-1"\ncamera = "lavfi:testsrc2"\n'


def test_networks_are_named_or_left_to_us(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    assert parse_config(COUNTER, path).faces == FacesConfig(expression=None, detector=None)
    chosen = parse_config(f'[faces]\nexpression = "my-net@2"\ndetector = "yunet"\n{COUNTER}', path).faces
    assert (chosen.expression, chosen.detector) == ("my-net@2", "yunet")


@pytest.mark.parametrize("line", ['expresion = "my-net"', 'expression = ""', "detector = 3"])
def test_a_wrong_key_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f"[faces]\n{line}\n{COUNTER}", tmp_path / "edge.toml")
    assert "edge.toml:2: " in str(caught.value)
    assert f"faces.{line.split(maxsplit=1)[0]}" in str(caught.value)


def test_the_edge_loads_the_networks_that_were_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def load(_registry: object, **settings: Any) -> Perception:
        asked.append(settings)
        raise UnknownModel("no such network")

    monkeypatch.setattr(Perception, "load", load)
    settings = EdgeConfig.model_validate(
        {
            "data_dir": tmp_path / "edge",
            "kiosk": {"port": 0},
            "metrics_port": 0,
            "threads": 2,
            "faces": {"expression": "my-net", "detector": "yunet"},
            "voice": {"transcriber": "faster-whisper"},
            "counters": [{"code": "quay-1", "camera": "lavfi:testsrc2"}],
        }
    )
    with pytest.raises(UnknownModel), EdgeWorker(settings):
        pass
    assert asked == [
        {"threads": 2, "expression": "my-net", "detector": "yunet", "transcriber": "faster-whisper"}
    ]


def test_an_unknown_expression_network_stops_the_load_by_name() -> None:
    with pytest.raises(UnknownModel, match="No expression network is called 'nobody'"):
        Perception.load(Registry.default(), expression="nobody")


class _StoppedError(Exception):
    """The networks were asked for; nothing else is of interest."""


@pytest.mark.parametrize("command", ["replay", "inspect", "bench"])
def test_a_configuration_given_to_a_command_names_its_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    asked: list[dict[str, Any]] = []

    def load(_registry: object, **settings: Any) -> Perception:
        asked.append(settings)
        raise _StoppedError

    monkeypatch.setattr(Perception, "load", load)
    config = tmp_path / "edge.toml"
    config.write_text(f'threads = 2\n[faces]\nexpression = "my-net"\ndetector = "yunet"\n{COUNTER}', "utf-8")
    media = str(ROOT / "samples" / "neutral.mp4")
    words: dict[str, tuple[typer.Typer, list[str]]] = {
        "replay": (edge, ["replay", media]),
        "inspect": (edge, ["inspect", media, "--out", str(tmp_path / "out")]),
        "bench": (bench, ["--media", media, "--folder", str(tmp_path)]),
    }
    app, call = words[command]
    assert isinstance(CliRunner().invoke(app, [*call, "--config", str(config)]).exception, _StoppedError)
    assert isinstance(CliRunner().invoke(app, call).exception, _StoppedError)
    named = {"threads": 2, "expression": "my-net", "detector": "yunet", "transcriber": None}
    assert asked == [named, {}]
    missing = CliRunner().invoke(app, [*call, "--config", str(tmp_path / "none.toml")])
    assert (missing.exit_code, "none.toml" in missing.output + missing.stderr) == (2, True)
