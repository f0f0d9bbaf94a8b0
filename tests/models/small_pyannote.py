"""A whole `pyannote.audio` pipeline of random numbers, as small as the library's own classes allow.

It stands for the published one, whose weights cannot be had here: the same class of pipeline with the same
kinds of files (two checkpoints, two files of numbers, a configuration), and an administrator's card for it.

    python small_pyannote.py FOLDER [HUB-NAME]

makes it in a process of its own, so that no test's process loads torch; with a name, the configuration asks a
hub for its segmentation network.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from models.pyannote_diariser import imported

_CONFIG = """
version: 4.0.7
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params:
    segmentation: {segmentation}
    embedding: $model/embedding
    plda: $model/plda
    clustering: VBxClustering
    embedding_exclude_overlap: true
params:
  segmentation:
    min_duration_off: 0.0
  clustering:
    threshold: 0.6
    Fa: 0.07
    Fb: 0.8
"""
_CARD = """
task = "diarisation"
name = "pyannote"
version = "random-1"
summary = "a pipeline of random numbers"
licence = "MIT"
inputs = "sound"
outputs = "turns"
limits = ["a test"]

[file]
name = "pyannote.yaml"
sha256 = "{sha256}"
origin = "bundle"

[training]
data = "none"
rights = "ours"
"""
_BESIDE = '\n[[beside]]\nname = "{name}"\nknown_as = "{known_as}"\nsha256 = "{sha256}"\n'
_WIDTH = 16
_PLDA_WIDTH = 8


def put_pipeline(folder: Path, segmentation: str = "$model/segmentation") -> Path:
    """Lay out what an administrator would import: the files under any name, and their card.

    Args:
        folder: Made; filled with five files and `pyannote.card.toml`.
        segmentation: Where the configuration says that its segmentation network is.
    """
    folder.mkdir(parents=True)
    imported()
    _checkpoints(folder)
    rng = np.random.default_rng(5)
    np.savez(
        folder / "transform.npz",
        mean1=rng.normal(size=_WIDTH),
        mean2=rng.normal(size=_PLDA_WIDTH),
        lda=rng.normal(size=(_WIDTH, _PLDA_WIDTH)),
    )
    np.savez(
        folder / "plda.npz",
        mu=rng.normal(size=_PLDA_WIDTH),
        tr=np.eye(_PLDA_WIDTH) + 0.1 * rng.normal(size=(_PLDA_WIDTH, _PLDA_WIDTH)),
        psi=np.linspace(3.0, 1.0, _PLDA_WIDTH),
    )
    (folder / "whatever.yaml").write_text(_CONFIG.format(segmentation=segmentation), encoding="utf-8")
    card = _CARD.format(sha256=_digest(folder / "whatever.yaml"))
    for name, known_as in (
        ("segmentation.bin", "segmentation/pytorch_model.bin"),
        ("embedding.bin", "embedding/pytorch_model.bin"),
        ("transform.npz", "plda/xvec_transform.npz"),
        ("plda.npz", "plda/plda.npz"),
    ):
        card += _BESIDE.format(name=f"pyannote-{name}", known_as=known_as, sha256=_digest(folder / name))
    (folder / "pyannote.card.toml").write_text(card, encoding="utf-8")
    return folder


def _checkpoints(folder: Path) -> None:
    """Write a segmentation network that always hears somebody, and an embedding network."""
    torch: Any = importlib.import_module("torch")
    task: Any = importlib.import_module("pyannote.audio.core.task")
    segmentation_kinds: Any = importlib.import_module("pyannote.audio.models.segmentation")
    embedding_kinds: Any = importlib.import_module("pyannote.audio.models.embedding")
    torch.manual_seed(7)
    segmentation = segmentation_kinds.PyanNet(
        lstm={"hidden_size": 16, "num_layers": 1}, linear={"hidden_size": 16, "num_layers": 1}
    )
    segmentation.specifications = task.Specifications(
        problem=task.Problem.MONO_LABEL_CLASSIFICATION,
        resolution=task.Resolution.FRAME,
        duration=5.0,
        classes=["one", "two", "three"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    segmentation.build()
    with torch.no_grad():
        segmentation.classifier.bias[0] = -10.0  # the class "nobody"
    embedding = embedding_kinds.XVectorSincNet(dimension=_WIDTH)
    embedding.specifications = task.Specifications(
        problem=task.Problem.REPRESENTATION, resolution=task.Resolution.CHUNK, duration=5.0
    )
    for name, network in (("segmentation", segmentation), ("embedding", embedding)):
        checkpoint: dict[str, Any] = {
            "state_dict": network.state_dict(),
            "hyper_parameters": dict(network.hparams),
            "pytorch-lightning_version": importlib.import_module("pytorch_lightning").__version__,
        }
        network.on_save_checkpoint(checkpoint)
        torch.save(checkpoint, folder / f"{name}.bin")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    put_pipeline(Path(sys.argv[1]), *sys.argv[2:])
