"""A transcriber's own process: samples in on standard input, text out on standard output.

Started by `models.transcriber_process` as a script, so it imports nothing of ours. Its arguments
are the name of an engine and a JSON object of options. Each request is a 4-byte little-endian
count and that many int16 samples at 16 kHz; each answer is one line of JSON. Native engines crash
and hang in ways Python cannot catch: a process of their own is what makes that harmless.

Other processes that hold an engine and answer on standard output use the same parts.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

_SILENT = 3
_SAMPLE_RATE_HZ = 16_000
_FULL_SCALE = 32_768.0
_LANGUAGE = "vi"
_LEAST_LOG_PROBABILITY = -1.0
"""Mean log-probability a token under which Whisper's own fall-back calls a reading failed."""
_MOST_COMPRESSED = 2.4
"""Text that gzip makes smaller than by this ratio repeats itself: Whisper's own limit."""
_LIKELY_NO_SPEECH = 0.6
_TOKENS_PER_S = 20
"""Bound of Whisper's answer: speech of five syllables a second needs at most three tokens each."""
_FIRST_TOKENS = 20
_MOST_TOKENS = 400

Reader = Callable[[bytes], str]
"""Turns little-endian int16 samples into text."""


def answer_descriptor() -> int:
    """Keep standard output for answers alone: whatever native code prints goes nowhere.

    A crash of the engine must leave nothing either: a core image would hold what was said.

    Returns:
        The descriptor to write answers to.
    """
    _refuse_core_images()
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return answers


def _end_with_the_parent_alone(answers: int) -> None:
    """Outlive no parent, and no session early.

    A parent that was killed closes its end of the pipe. Between two requests the end of standard input
    says so; in the middle of one, or of an engine that hangs, only a thread that watches notices. The
    signals that stop a whole group of processes (Ctrl-C, a service manager) are the parent's to answer:
    it may still have last words to be read, and ends this process itself.

    Args:
        answers: The descriptor that answers are written to.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_leave_when_nobody_reads, args=(answers,), name="parent", daemon=True).start()


def _leave_when_nobody_reads(answers: int) -> None:
    gone = select.poll()
    gone.register(answers, 0)  # a pipe without a reader is told of whether it was asked for or not
    gone.poll()
    os._exit(0)


def _refuse_core_images() -> None:
    """Let no crash write this process's memory anywhere.

    Linux ignores a limit of 0 where cores go to a program; a limit of 1 byte stops both ways.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    least = 1 if most == resource.RLIM_INFINITY else min(1, most)
    resource.setrlimit(resource.RLIMIT_CORE, (least, least))


def say(answers: int, **fields: object) -> None:
    """Write one line of JSON."""
    line = (json.dumps(fields, ensure_ascii=False) + "\n").encode()
    while line:
        line = line[os.write(answers, line) :]


def read_exactly(size: int) -> bytes | None:
    """Read exactly this many bytes from standard input; None at its end."""
    parts = []
    while size:
        part = os.read(0, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _viet_asr(options: Mapping[str, Any]) -> Reader:
    """Open `viet-asr`'s own pipeline; the library takes its file from an environment variable."""
    os.environ["VIETASR_LIBRARY_PATH"] = options["model"]
    import numpy as np  # noqa: PLC0415 - after standard error was closed to native noise
    from vietasr import Pipeline  # type: ignore[import-untyped]  # noqa: PLC0415 - untyped; imported late as above
    from vietasr.ffi import native  # type: ignore[import-untyped]  # noqa: PLC0415 - as above

    native.lib.vietasr_set_log_level(_SILENT)
    pipeline = Pipeline.preset("transcribe")

    def read(body: bytes) -> str:
        text: str = pipeline.transcribe(np.frombuffer(body, "<i2"), sample_rate=float(_SAMPLE_RATE_HZ)).text
        return text

    return read


def _faster_whisper(options: Mapping[str, Any]) -> Reader:
    """Open a CTranslate2 network from files under the names that the library knows them by."""
    import numpy as np  # noqa: PLC0415 - as above
    from faster_whisper import WhisperModel  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - an extra

    with contextlib.ExitStack() as stack:
        # A library that is given a name instead of files would ask a hub for them.
        files: dict[str, Any] = {
            name: stack.enter_context(Path(path).open("rb"))
            for name, path in {"model.bin": options["model"], **options["beside"]}.items()
        }
        for small in ("tokenizer.json", "preprocessor_config.json"):
            if small in files:
                files[small] = files[small].read()
        network = WhisperModel(
            "card", device="cpu", compute_type="int8", cpu_threads=options["threads"], files=files
        )

    def read(body: bytes) -> str:
        sound = np.frombuffer(body, "<i2").astype(np.float32) / _FULL_SCALE
        segments, _ = network.transcribe(
            sound,
            language=_LANGUAGE,
            beam_size=options["beam"],
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            vad_filter=True,
            max_new_tokens=_token_limit(sound.size),
        )
        return _believed(vars_of(segment) for segment in segments)

    def vars_of(segment: Any) -> Mapping[str, Any]:  # noqa: ANN401 - the library's own class
        return {name: getattr(segment, name) for name in _JUDGED}

    return read


_JUDGED = ("text", "avg_logprob", "compression_ratio", "no_speech_prob")


def _openai_whisper(options: Mapping[str, Any]) -> Reader:
    """Open a checkpoint of the `whisper` library."""
    import numpy as np  # noqa: PLC0415 - as above
    import torch  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - an extra
    import whisper  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415 - an extra

    torch.set_num_threads(options["threads"])
    network = whisper.load_model(options["model"], device="cpu")

    def read(body: bytes) -> str:
        sound = np.frombuffer(body, "<i2").astype(np.float32) / _FULL_SCALE
        heard = network.transcribe(
            sound,
            language=_LANGUAGE if network.is_multilingual else None,
            fp16=False,
            beam_size=options["beam"],
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            sample_len=min(_token_limit(sound.size), network.dims.n_text_ctx // 2),
        )
        return _believed(heard["segments"])

    return read


def _token_limit(samples: int) -> int:
    return min(_MOST_TOKENS, _FIRST_TOKENS + _TOKENS_PER_S * samples // _SAMPLE_RATE_HZ)


def _believed(segments: Iterable[Mapping[str, Any]]) -> str:
    """Join what Whisper itself believes: it has no silence, so it answers noise with unlikely words."""
    return " ".join(
        segment["text"]
        for segment in segments
        if segment["avg_logprob"] >= _LEAST_LOG_PROBABILITY
        and segment["compression_ratio"] <= _MOST_COMPRESSED
        and segment["no_speech_prob"] <= _LIKELY_NO_SPEECH
    )


_ENGINES: dict[str, Callable[[Mapping[str, Any]], Reader]] = {
    "viet-asr": _viet_asr,
    "faster-whisper": _faster_whisper,
    "openai-whisper": _openai_whisper,
}


@contextlib.contextmanager
def _on_cores(count: int) -> Iterator[None]:
    """Let native thread pools count this many cores while they start, and use any core afterwards."""
    if not hasattr(os, "sched_setaffinity"):  # macOS
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(allowed)[:count]))
    try:
        yield
    finally:
        for thread in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):  # it may have ended
                os.sched_setaffinity(int(thread.name), allowed)


def open_engine(engine: str, options: Mapping[str, Any]) -> Reader:
    """Load an engine into this process."""
    with _on_cores(options["threads"]):
        return _ENGINES[engine](options)


def _serve(answers: int, engine: str, options: Mapping[str, Any]) -> None:
    """Load the engine, say so, and answer requests until standard input ends."""
    reader = open_engine(engine, options)
    say(answers, ready=engine)
    while (header := read_exactly(4)) is not None:
        body = read_exactly(2 * struct.unpack("<I", header)[0])
        if body is None:
            return
        try:
            text = reader(body)
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
            # The class alone: a library's message may repeat what it read.
            say(answers, error=type(error).__name__)
        else:
            say(answers, text=text)


def main(arguments: list[str], serve: Callable[[int, str, Mapping[str, Any]], None] = _serve) -> int:
    """Serve; report a failed start as an answer, since nobody reads standard error."""
    answers = answer_descriptor()
    _end_with_the_parent_alone(answers)
    try:
        serve(answers, arguments[0], json.loads(arguments[1]))
    except BrokenPipeError:
        return 0  # the parent is gone
    except Exception as error:  # noqa: BLE001 - the parent turns it into a typed error
        say(answers, failed=repr(error))
        return 1
    return 0


def leave(code: int) -> NoReturn:
    """End this process at once: a library's destructors may crash, and there is nothing left to save."""
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - the process ends on the next line
    os._exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
