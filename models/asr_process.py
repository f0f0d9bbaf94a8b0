"""The transcriber's own process: samples in on standard input, text out on standard output.

Started by `models.transcribers` as a script, so it imports nothing of ours. Each request is
a 4-byte little-endian count and that many int16 samples at 16 kHz; each answer is one line
of JSON. The native library crashes and hangs in ways Python cannot catch: a process of its
own is what makes that harmless.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from pathlib import Path

_SILENT = 3
_SAMPLE_RATE_HZ = 16_000.0


def _answers() -> int:
    """Keep standard output for answers alone: whatever native code prints goes nowhere.

    Returns:
        The descriptor to write answers to.
    """
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return answers


def _say(answers: int, **fields: str) -> None:
    """Write one line of JSON."""
    line = (json.dumps(fields, ensure_ascii=False) + "\n").encode()
    while line:
        line = line[os.write(answers, line) :]


def _read(size: int) -> bytes | None:
    """Read exactly this many bytes from standard input; None at its end."""
    parts = []
    while size:
        part = os.read(0, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _serve(answers: int) -> None:
    """Load the library, say so, and answer requests until standard input ends."""
    import numpy as np  # noqa: PLC0415 - after standard error was closed to native noise
    from vietasr import Pipeline  # type: ignore[import-untyped]  # noqa: PLC0415 - untyped; imported late as above
    from vietasr.ffi import native  # type: ignore[import-untyped]  # noqa: PLC0415 - as above

    native.lib.vietasr_set_log_level(_SILENT)
    pipeline = Pipeline.preset("transcribe")
    _say(answers, ready="transcribe")
    while (header := _read(4)) is not None:
        body = _read(2 * struct.unpack("<I", header)[0])
        if body is None:
            return
        try:
            text = pipeline.transcribe(np.frombuffer(body, "<i2"), sample_rate=_SAMPLE_RATE_HZ).text
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
            _say(answers, error=repr(error))
        else:
            _say(answers, text=text)


def main() -> int:
    """Serve; report a failed start as an answer, since nobody reads standard error."""
    answers = _answers()
    try:
        _serve(answers)
    except BrokenPipeError:
        return 0  # the parent is gone
    except Exception as error:  # noqa: BLE001 - the parent turns it into a typed error
        _say(answers, failed=repr(error))
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    # The library's destructors may crash at exit; there is nothing left to save.
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - the process ends on the next line
    os._exit(code)
