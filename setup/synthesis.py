"""Read texts out into sound files: `python -m setup.synthesis FOLDER` with the texts on standard input.

The synthesiser is a GPL library that set-up calls and no program of ours loads. It runs in a
process of its own: whatever goes wrong in there, set-up goes on.
"""

from __future__ import annotations

import array
import ctypes
import importlib.util
import json
import math
import sys
import wave
from pathlib import Path
from typing import Final

_SYNCHRONOUS: Final = 2
_DO_NOT_EXIT: Final = 0x8000
_UTF8: Final = 1
_BY_CHARACTER: Final = 1
_RATE_PARAMETER: Final = 1
_WORDS_PER_MINUTE: Final = 150
_LOUDNESS: Final = 32768 * 10 ** (-20 / 20)
_PEAK: Final = 32768 * 10 ** (-1 / 20)
_SILENT: Final = 200
"""Samples below this are pauses and do not count for the loudness."""

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class SynthesisError(Exception):
    """The synthesiser is missing or refused."""


class Synthesiser:
    """eSpeak NG, reached through its C interface."""

    def __init__(self) -> None:
        """Load the library and its voices.

        Raises:
            SynthesisError: They are not there or do not load on this machine.
        """
        found = importlib.util.find_spec("espeakng_loader")
        if found is None or found.origin is None:
            message = "the package espeakng-loader is not installed"
            raise SynthesisError(message)
        home = Path(found.origin).parent
        libraries = sorted(home.glob("libespeak-ng.*"))
        try:
            self._library = ctypes.CDLL(str(libraries[0]))
        except (IndexError, OSError) as error:
            message = f"the library of espeakng-loader does not load here: {error}"
            raise SynthesisError(message) from error
        self._samples = array.array("h")
        self._library.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        self.rate_hz: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, str(home).encode(), _DO_NOT_EXIT)
        if self.rate_hz <= 0:
            message = f"the synthesiser does not start with the voices in {home}"
            raise SynthesisError(message)
        self._callback = _Callback(self._take)  # kept: the library holds only its address
        self._library.espeak_SetSynthCallback(self._callback)

    def read(self, text: str, language: str) -> array.array[int]:
        """Return the samples of a text.

        Raises:
            SynthesisError: There is no voice in that language, or nothing came out.
        """
        if self._library.espeak_SetVoiceByName(language.encode()) != 0:
            message = f"there is no voice in '{language}'"
            raise SynthesisError(message)
        self._library.espeak_SetParameter(_RATE_PARAMETER, _WORDS_PER_MINUTE, 0)
        self._samples = array.array("h")
        data = text.encode() + b"\0"
        if self._library.espeak_Synth(data, len(data), 0, _BY_CHARACTER, 0, _UTF8, None, None) != 0:
            message = "the synthesiser refused the text"
            raise SynthesisError(message)
        self._library.espeak_Synchronize()
        return levelled(self._samples)

    def _take(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int | None) -> int:
        if count > 0:  # the last call brings none
            self._samples.frombytes(ctypes.string_at(samples, 2 * count))
        return 0


def levelled(samples: array.array[int]) -> array.array[int]:
    """Return the samples at one loudness: speech at -20 dBFS RMS, no peak above -1 dBFS.

    Raises:
        SynthesisError: There is no sound in them.
    """
    voiced = [sample for sample in samples if abs(sample) > _SILENT]
    if not voiced:
        message = "the synthesiser gave no sound"
        raise SynthesisError(message)
    loudness = math.sqrt(sum(sample * sample for sample in voiced) / len(voiced))
    gain = min(_LOUDNESS / loudness, _PEAK / max(abs(sample) for sample in voiced))
    return array.array("h", (int(sample * gain) for sample in samples))


def write(path: Path, samples: array.array[int], rate_hz: int) -> None:
    """Write a mono WAV file in one step: a kiosk never plays half a notice."""
    draft = path.with_suffix(".part")
    with wave.open(str(draft), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        if sys.byteorder == "big":
            samples.byteswap()
        out.writeframes(samples.tobytes())
    draft.replace(path)


def main(folder: Path) -> int:
    """Read out each text; files of notices that are no longer current go."""
    texts = json.load(sys.stdin)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        synthesiser = Synthesiser()
        for text in texts:
            samples = synthesiser.read(text["text"], text["language"])
            write(folder / f"{text['sha256']}.wav", samples, synthesiser.rate_hz)
    except SynthesisError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    kept = {f"{text['sha256']}.wav" for text in texts}
    for stale in folder.iterdir():
        if stale.name not in kept and stale.suffix in {".wav", ".part"}:
            stale.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
