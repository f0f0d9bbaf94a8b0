from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.diarisers import VoiceTurn
from models.errors import InputError, LibraryMissing, ModelFileMissing, OutputError
from models.pyannote_diariser import PyannoteDiariser, imported

_TORCH = """
import sys
import numpy as np
def from_numpy(array):
    return array
def set_num_threads(count):
    pass
"""
_AUDIO = """
import os, sys
from types import SimpleNamespace
SEEN = dict(os.environ)
STUBBED = 'torchaudio._extension' in sys.modules
class Pipeline:
    @classmethod
    def from_pretrained(cls, checkpoint, cache_dir):
        assert not os.path.exists(cache_dir), cache_dir
        found = [os.path.join(place, name) for place, _, names in os.walk(checkpoint) for name in names]
        cls.found = {os.path.relpath(path, checkpoint): open(path).read() for path in found}
        return cls()
    def __call__(self, file, min_speakers, max_speakers):
        assert sorted(file) == ['sample_rate', 'waveform'], file
        assert file['waveform'].shape == (1, 32000) and file['sample_rate'] == 16000
        assert abs(float(file['waveform'].max()) - 0.5) < 1e-6
        assert (min_speakers, max_speakers) == (1, 2)
        rows = [(1.0, 2.0, 'B'), (0.0, 1.2, 'A')]
        annotation = SimpleNamespace(itertracks=lambda yield_label: [
            (SimpleNamespace(start=start, end=end), None, label) for start, end, label in rows])
        return SimpleNamespace(speaker_diarization=annotation)
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Stand-ins of torch and pyannote.audio that note the environment of their import."""
    place = tmp_path / "packages"
    (place / "pyannote" / "audio").mkdir(parents=True)
    (place / "pyannote" / "audio" / "__init__.py").write_text(_AUDIO, encoding="utf-8")
    (place / "torch.py").write_text(_TORCH, encoding="utf-8")
    return place


def in_a_process_of_its_own(code: str, library: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment, "PYTHONPATH": f"{library}{os.pathsep}{Path.cwd()}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("before", ["1", "true", ""])
def test_telemetry_and_hubs_are_off_before_the_library_is_imported(library: Path, before: str) -> None:
    code = """
        from models.pyannote_diariser import imported
        audio = imported()
        names = 'PYANNOTE_METRICS_ENABLED HF_HUB_OFFLINE HF_HUB_DISABLE_TELEMETRY OTEL_SDK_DISABLED'
        print(*(audio.SEEN[name] for name in names.split()), audio.STUBBED)
    """
    said = in_a_process_of_its_own(code, library, PYANNOTE_METRICS_ENABLED=before)
    assert said == "0 1 1 true True"


def test_the_adapter_alone_imports_no_library(library: Path) -> None:
    code = """
        import sys
        import models.pyannote_diariser
        print('pyannote.audio' in sys.modules, 'torch' in sys.modules)
    """
    assert in_a_process_of_its_own(code, library) == "False False"


def test_turns_come_from_a_waveform_and_a_folder_of_verified_files_alone(
    library: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    for name in ("our.yaml", "our-weights.bin", "stranger.bin"):
        (store / name).write_text(f"{name}\n", encoding="utf-8")
    code = f"""
        from pathlib import Path
        from types import SimpleNamespace
        import numpy as np
        from models.pyannote_diariser import PyannoteDiariser, imported
        store = Path({str(store)!r})
        beside = (('segmentation/pytorch_model.bin', store / 'our-weights.bin'),)
        file = SimpleNamespace(path=store / 'our.yaml', beside=beside, version_of=lambda: ('p', '4', 'x'))
        found = PyannoteDiariser.load(file).turns(np.full(32000, 16384, np.int16))
        print([(turn.start_s, turn.end_s, turn.voice) for turn in found])
        print(sorted(imported().Pipeline.found.items()))
    """
    turns, files = in_a_process_of_its_own(code, library).splitlines()
    assert turns == "[(0.0, 1.2, 1), (1.0, 2.0, 0)]"
    assert files == str(
        [("config.yaml", "our.yaml\n"), ("segmentation/pytorch_model.bin", "our-weights.bin\n")]
    )


@pytest.mark.skipif(
    all(importlib.util.find_spec(name) for name in ("torch", "pyannote")), reason="the library is installed"
)
def test_without_the_library_the_message_says_how_to_install_it() -> None:
    with pytest.raises(LibraryMissing, match=r"pyannote\.audio not installed.*hailong\[pyannote\]"):
        imported()


def test_a_pipeline_that_is_not_there_is_refused_before_any_import(tmp_path: Path) -> None:
    file: Any = SimpleNamespace(path=tmp_path / "config.yaml")
    with pytest.raises(ModelFileMissing, match="models import"):
        PyannoteDiariser.load(file)


def giving(*rows: tuple[float, float, str]) -> PyannoteDiariser:
    def tracks(*, yield_label: bool) -> list[Any]:
        assert yield_label
        return [(SimpleNamespace(start=start, end=end), None, label) for start, end, label in rows]

    pipeline = SimpleNamespace(itertracks=tracks)
    return PyannoteDiariser(lambda _file, **_limits: pipeline, name="p", version="4")


@pytest.fixture
def torch_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in: Any = SimpleNamespace(from_numpy=lambda array: array)
    monkeypatch.setitem(sys.modules, "torch", stand_in)


@pytest.mark.usefixtures("torch_of_numpy")
def test_voices_are_numbered_by_their_first_turn() -> None:
    found = giving((0.0, 1.0, "SPEAKER_07"), (1.0, 2.0, "SPEAKER_01")).turns(np.zeros(32_000, np.int16))
    assert found == (VoiceTurn(0.0, 1.0, 0), VoiceTurn(1.0, 2.0, 1))


@pytest.mark.usefixtures("torch_of_numpy")
@pytest.mark.parametrize(
    "rows",
    [
        ((1.0, 1.0, "A"),),
        ((-1.0, 1.0, "A"),),
        ((0.0, float("nan"), "A"),),
        ((0.0, float("inf"), "A"),),
        ((0.0, 1.0, "A"), (1.0, 2.0, "B"), (2.0, 3.0, "C")),
    ],
    ids=["empty", "before-the-start", "nan", "endless", "too-many-voices"],
)
def test_what_is_no_turn_is_refused(rows: tuple[tuple[float, float, str], ...]) -> None:
    with pytest.raises(OutputError, match=r"pyannote\.audio gave"):
        giving(*rows).turns(np.zeros(32_000, np.int16))


@pytest.mark.parametrize(
    "sound", [np.zeros((2, 100), np.int16), np.zeros(100, np.float32)], ids=["two", "float"]
)
def test_other_sound_is_refused(sound: Any) -> None:
    with pytest.raises(InputError, match="int16"):
        giving().turns(sound)


def test_no_sound_has_no_turns() -> None:
    assert giving((0.0, 1.0, "A")).turns(np.zeros(0, np.int16)) == ()
