"""Loads the diariser of one channel that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from models.pyannote_diariser import NAME as PYANNOTE
from models.pyannote_diariser import PyannoteDiariser
from models.voice_clusters import ClusterDiariser
from models.voice_encoder import load_voice_encoder

if TYPE_CHECKING:
    from models.diarisers import Diariser
    from models.registry import Registry
    from models.voice_activity import VoiceActivityNetwork


def load_diariser(
    kind: Literal["clusters", "pyannote"], registry: Registry, activity: VoiceActivityNetwork
) -> Diariser:
    """Load a diariser.

    Args:
        kind: `clusters` is our own, `pyannote` the library with weights that an administrator placed
            under a card called `pyannote`.
        registry: Where weights are looked for.
        activity: The voice activity network, shared.

    Raises:
        UnknownModel: There is no card of that name.
        ModelFileMissing: The weights are not there.
        ModelHashMismatch: They are not those of the card.
        LibraryMissing: pyannote.audio is not installed.
    """
    if kind == "clusters":
        return ClusterDiariser(load_voice_encoder(registry), activity)
    return PyannoteDiariser.load(registry.locate(PYANNOTE))
