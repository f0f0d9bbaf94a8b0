from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from models import transcriber_process
from models.errors import (
    InputError,
    ModelError,
    TranscriberError,
    TranscriberTimeout,
    TranscriberUnusable,
    UnknownModel,
)
from models.registry import ModelFile, Registry
from models.speech_pieces import MAX_PIECE_S, SAMPLE_RATE_HZ, split_at_quietest
from models.transcribers import EngineTranscriber, load_transcriber, plain_words
from tests.models.test_voice_activity import sound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

READ = """
import os, struct, sys, time, json
def read(size):
    parts = b""
    while len(parts) < size:
        part = os.read(0, size - len(parts))
        if not part: sys.exit(0)
        parts += part
    return parts
def say(**fields): os.write(1, (json.dumps(fields) + "\\n").encode())
def piece(): return read(2 * struct.unpack("<I", read(4))[0])
"""
ECHO = READ + "say(ready='')\nwhile True: say(text=str(len(piece()) // 2))\n"
"""A child that answers with the number of samples it was given."""


@pytest.fixture(scope="module")
def library() -> ModelFile:
    return Registry.default().locate("viet-asr")


@pytest.fixture(scope="module")
def real() -> Iterator[EngineTranscriber]:
    with load_transcriber(Registry.default()) as transcriber:
        yield transcriber


@pytest.fixture
def patient(library: ModelFile) -> Iterator[EngineTranscriber]:
    """The real engine without the limit of a session: pieces of 15 s took a busy machine a minute."""
    with EngineTranscriber(library, piece_limit_s=600.0) as transcriber:
        yield transcriber


def stand_in(library: ModelFile, program: str, limit_s: float = 20.0) -> EngineTranscriber:
    return EngineTranscriber(library, piece_limit_s=limit_s, command=(sys.executable, "-c", program))


def tone(seconds: float) -> NDArray[np.int16]:
    return (8000 * np.sin(np.arange(int(seconds * SAMPLE_RATE_HZ)) / 7)).astype(np.int16)


def clips(shared: Path) -> list[Path]:
    return sorted((shared / "data" / "speech" / "clips").iterdir())


def test_real_speech_becomes_words(real: EngineTranscriber, shared: Path) -> None:
    text = real.transcribe(sound(shared / "data" / "speech" / "clips" / "common_voice_vi_23338457.mp3"))
    # Spoken: Bối cảnh tạo bày ai là kẻ thế vai?
    assert text.startswith("bối cảnh tạo")
    assert text == text.lower().strip()


def test_what_holds_no_speech_gives_no_words(real: EngineTranscriber, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 300, 2 * SAMPLE_RATE_HZ).astype(np.int16)
    for samples in (np.zeros(0, np.int16), np.zeros(1, np.int16), np.zeros(32_000, np.int16), noise, tone(2)):
        assert real.transcribe(samples) == ""


def test_speech_beyond_one_call_is_not_lost(real: EngineTranscriber, shared: Path) -> None:
    folder = shared / "data" / "speech"
    lines = (folder / "common_voice_vi.jsonl").read_text(encoding="utf-8").splitlines()[1:9]
    spoken = [json.loads(line) for line in lines]
    long = np.concatenate([sound(folder / entry["audio"]) for entry in spoken])
    assert 26 * SAMPLE_RATE_HZ < long.size < 32 * SAMPLE_RATE_HZ
    # In one call the library answers with the words of the last 23 s or so; it drops the first ones.
    text = real.transcribe(long)
    assert text.startswith("bối cảnh")
    assert text.endswith("được không")


@pytest.mark.parametrize(
    "length_s", [60, pytest.param(270, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_a_long_recording_keeps_the_words_of_its_pieces(
    patient: EngineTranscriber, shared: Path, length_s: int
) -> None:
    source = shared / "data" / "speech" / "common_voice_vi.jsonl"
    entries = [json.loads(line) for line in source.read_text("utf-8").splitlines()]
    long = np.concatenate([sound(source.parent / entry["audio"]) for entry in entries])
    long = long[: length_s * SAMPLE_RATE_HZ]
    assert long.size == length_s * SAMPLE_RATE_HZ
    spoken = re.sub(r"[^\w\s]", "", " ".join(entry["text"] for entry in entries).lower()).split()

    def right(text: str) -> int:
        matched = SequenceMatcher(None, spoken, text.split(), autojunk=False)
        return sum(block.size for block in matched.get_matching_blocks())

    step = 15 * SAMPLE_RATE_HZ
    pieces = " ".join(patient.transcribe(long[at : at + step]) for at in range(0, long.size, step))
    whole = patient.transcribe(long)
    logging.getLogger(__name__).info(
        "words, of them right: %d, %d in pieces of 15 s; %d, %d in one recording",
        *(len(pieces.split()), right(pieces), len(whole.split()), right(whole)),
    )
    assert len(pieces.split()) > length_s
    assert len(whole.split()) >= 0.95 * len(pieces.split())
    assert right(whole) >= 0.95 * right(pieces)


def test_a_read_only_slice_of_a_stereo_array_is_taken(real: EngineTranscriber, shared: Path) -> None:
    clip = sound(clips(shared)[0])[: 3 * SAMPLE_RATE_HZ]
    stereo = np.stack([clip, np.zeros_like(clip)], axis=1)
    stereo.setflags(write=False)
    assert real.transcribe(stereo[:, 0]) == real.transcribe(clip) != ""


@pytest.mark.parametrize(
    ("samples", "rate_hz", "named"),
    [
        (np.zeros(100, np.float32), SAMPLE_RATE_HZ, "int16"),
        (np.full(100, np.nan), SAMPLE_RATE_HZ, "int16"),
        (np.zeros(100, np.int32), SAMPLE_RATE_HZ, "int16"),
        ([0] * 100, SAMPLE_RATE_HZ, "int16"),
        (None, SAMPLE_RATE_HZ, "int16"),
        (np.zeros((100, 2), np.int16), SAMPLE_RATE_HZ, "mono"),
        (np.zeros((1, 100), np.int16), SAMPLE_RATE_HZ, "mono"),
        (np.zeros(100, np.int16), 8_000, "16000 Hz"),
        (np.zeros(100, np.int16), 0, "16000 Hz"),
    ],
)
def test_sound_of_another_kind_is_refused(library: ModelFile, samples: Any, rate_hz: int, named: str) -> None:
    with stand_in(library, ECHO) as transcriber, pytest.raises(InputError, match=named):
        transcriber.transcribe(samples, rate_hz)


@pytest.mark.parametrize("seconds", [0.5, 14.9, 15.0, 15.1, 29.9, 30.1, 47.0, 272.0])
def test_pieces_are_short_and_lose_nothing(seconds: float, seed: int) -> None:
    samples = np.random.default_rng(seed).normal(0, 1000, int(seconds * SAMPLE_RATE_HZ)).astype(np.int16)
    pieces = split_at_quietest(samples)
    assert (np.concatenate(pieces) == samples).all()
    assert all(piece.size <= MAX_PIECE_S * SAMPLE_RATE_HZ for piece in pieces)
    assert all(piece.size >= 2 * SAMPLE_RATE_HZ for piece in pieces[:-1])


def test_the_cut_lies_in_the_pause() -> None:
    samples = tone(20)
    pause = slice(int(9.0 * SAMPLE_RATE_HZ), int(9.4 * SAMPLE_RATE_HZ))
    samples[pause] = 0
    first, second = split_at_quietest(samples)
    assert pause.start <= first.size <= pause.stop
    assert first.size + second.size == samples.size


def test_long_speech_is_sent_in_pieces(library: ModelFile) -> None:
    with stand_in(library, ECHO) as transcriber:
        counts = [int(word) for word in transcriber.transcribe(tone(100)).split()]
    assert sum(counts) == 100 * SAMPLE_RATE_HZ
    assert max(counts) <= MAX_PIECE_S * SAMPLE_RATE_HZ


def test_a_child_that_was_killed_is_replaced_and_reaped(library: ModelFile) -> None:
    with stand_in(library, ECHO) as transcriber:
        transcriber.warm_up()
        first = transcriber.process.process_id
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert transcriber.transcribe(tone(1)) == "16000"
        assert transcriber.process.process_id not in {None, first}
        assert transcriber.process.starts == 2
    with pytest.raises(ChildProcessError):
        os.waitpid(first, 0)


def test_a_child_that_dies_on_a_piece_is_tried_once_more(library: ModelFile, tmp_path: Path) -> None:
    mark = tmp_path / "died"
    program = READ + (
        f"say(ready='')\npiece()\nmark = {str(mark)!r}\n"
        "if not os.path.exists(mark):\n    open(mark, 'w').close()\n    os.abort()\n"
        "say(text='words')\nread(1)\n"
    )
    with stand_in(library, program) as transcriber:
        assert transcriber.transcribe(tone(1)) == "words"
        assert transcriber.process.starts == 2


def test_a_child_that_keeps_dying_is_given_up_within_a_budget(library: ModelFile) -> None:
    with stand_in(library, READ + "say(ready='')\npiece()\nos._exit(3)\n") as transcriber:
        with pytest.raises(TranscriberError, match=r"died twice.*status 3"):
            transcriber.transcribe(tone(1))
        for _ in range(2):
            with pytest.raises(TranscriberError, match="died twice"):
                transcriber.transcribe(tone(1))
        with pytest.raises(TranscriberUnusable, match="keeps dying"):
            transcriber.transcribe(tone(1))
        assert transcriber.process.process_id is None


def test_the_budget_grows_back(library: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcriber_process, "_RESTART_WINDOW_S", 0.0)
    with stand_in(library, READ + "say(ready='')\npiece()\nos._exit(3)\n") as transcriber:
        for _ in range(5):
            with pytest.raises(TranscriberError, match="died twice"):
                transcriber.transcribe(tone(1))


@pytest.mark.parametrize("program", ["piece(); time.sleep(600)", "time.sleep(600)"])
def test_a_child_that_hangs_is_ended_in_time(library: ModelFile, program: str) -> None:
    # 15 s of samples do not fit a pipe: a child that reads nothing must not block the caller.
    with stand_in(library, READ + f"say(ready='')\n{program}\n", limit_s=0.5) as transcriber:
        transcriber.warm_up()
        hung = transcriber.process.process_id
        assert hung is not None
        with pytest.raises(TranscriberTimeout, match="no answer") as caught:
            transcriber.transcribe(tone(14))
        assert isinstance(caught.value, TimeoutError)
        assert isinstance(caught.value, ModelError)
        assert transcriber.process.process_id is None
        with pytest.raises(ChildProcessError):
            os.waitpid(hung, 0)


@pytest.mark.parametrize(
    ("program", "named"),
    [
        ("say(failed='no library')", "no library"),
        ("sys.exit(4)", "status 4"),
        ("os.write(1, b'nonsense\\n')", "8 bytes that are no JSON"),
        ("say(ready='')\npiece(); say(error='bad piece'); read(1)", "bad piece"),
    ],
)
def test_what_a_child_says_is_passed_on(library: ModelFile, program: str, named: str) -> None:
    with (
        stand_in(library, READ + program + "\n") as transcriber,
        pytest.raises(TranscriberError, match=named),
    ):
        transcriber.transcribe(tone(1))


def test_what_one_piece_loses_is_counted_and_not_invented(library: ModelFile) -> None:
    # The child reads one piece and hangs for ever on the next one.
    program = READ + (
        "say(ready='')\nfirst = piece(); say(text=str(len(first) // 2))\npiece(); time.sleep(600)\n"
    )
    with stand_in(library, program, limit_s=1.0) as transcriber:
        assert transcriber.transcribe(tone(14)) == str(14 * SAMPLE_RATE_HZ)
        assert transcriber.lost_pieces == 0
        with pytest.raises(TranscriberTimeout):
            transcriber.transcribe(tone(14))
        assert transcriber.lost_pieces == 1
        sizes = [piece.size for piece in split_at_quietest(tone(40))]
        assert [int(word) for word in transcriber.transcribe(tone(40)).split()] == sizes[::2]
        assert transcriber.lost_pieces == 1 + len(sizes[1::2])


def test_a_process_that_cannot_start_is_no_lost_piece(library: ModelFile) -> None:
    with stand_in(library, READ + "say(failed='no library')\n") as transcriber:
        with pytest.raises(TranscriberUnusable, match=r"no library.*hailong\[edge\]"):
            transcriber.transcribe(tone(40))
        assert transcriber.lost_pieces == 0


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Cảm ơn em.\n Số 0912 345 678, nhé!", "cảm ơn em số 0912 345 678 nhé"),
        ("mất 1.500.000 đồng (khoảng 1,5 triệu)", "mất 1.500.000 đồng khoảng 1,5 triệu"),
        ("ngày 12/5/2026 - “được rồi”…", "ngày 12/5/2026 được rồi"),
        ("Biển 14A-123.45, a@b.vn", "biển 14a-123.45 a@b vn"),
        ("  \n ", ""),
        ("HO\u0300A", "hòa"),
    ],
)
def test_words_come_in_one_form(said: str, words: str) -> None:
    assert plain_words(said) == words


def test_what_the_process_used_is_known_while_it_runs(library: ModelFile) -> None:
    with stand_in(library, ECHO) as transcriber:
        assert transcriber.use() is None
        transcriber.transcribe(tone(1))
        used = transcriber.use()
        assert used is not None
        assert 2 < used.peak_mib < 200
        assert used.cpu_s >= 0


def test_threads_get_their_own_answers(library: ModelFile) -> None:
    lengths = [0.2 + 0.05 * number for number in range(24)]
    with stand_in(library, ECHO) as transcriber, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda seconds: transcriber.transcribe(tone(seconds)), lengths))
        assert transcriber.process.starts == 1
    assert answers == [str(tone(seconds).size) for seconds in lengths]


def test_a_closed_transcriber_refuses_and_its_child_is_gone(library: ModelFile) -> None:
    transcriber = stand_in(library, ECHO)
    transcriber.warm_up()
    child = transcriber.process.process_id
    assert child is not None
    transcriber.close()
    transcriber.close()
    with pytest.raises(TranscriberError, match="closed"):
        transcriber.transcribe(tone(1))
    with pytest.raises(ChildProcessError):
        os.waitpid(child, 0)


def test_the_child_ends_with_its_parent(library: ModelFile, tmp_path: Path) -> None:
    program = (
        "import os\nfrom models.registry import Registry\n"
        "from models.transcribers import load_transcriber\n"
        "t = load_transcriber(Registry.default())\nt.warm_up()\n"
        "print(t.process.process_id, flush=True)\nos._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=120
    )
    child = int(done.stdout)
    assert done.stderr == ""
    until = time.monotonic() + 20
    while time.monotonic() < until and _alive(child):
        threading.Event().wait(0.05)
    assert not _alive(child)


def _alive(process_id: int) -> bool:
    try:
        with open(f"/proc/{process_id}/stat", encoding="ascii") as stream:  # noqa: PTH123 - one line
            return stream.read().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


def test_only_transcribers_are_loaded_as_such() -> None:
    with pytest.raises(UnknownModel, match="not a transcriber"):
        load_transcriber(Registry.default(), "centerface")
    assert load_transcriber(Registry.default()).version_of()[:2] == ("viet-asr", "0.1.0.dev11")
