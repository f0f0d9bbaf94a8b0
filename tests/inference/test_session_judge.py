"""The process that reads one session's words: started ahead, ended and reaped, silent about words."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from inference.evaluation_speech import load_sound
from inference.judgement import SpokenSound
from inference.quote_sealing import open_quote
from inference.quotes import QuoteSealing, SealedQuote
from inference.session_judge import JudgeSupply
from inference.utterance_judge import WordJudge
from inference.voice_evidence import VoiceEvidence, VoiceReader
from models.errors import TranscriberError, TranscriberUnusable
from models.registry import Registry
from models.text_sentiment import NAME, TextSentiment
from models.transcribers import load_transcriber, transcriber_file
from tests.inference.dialogues import Opened
from tests.inference.test_voice_evidence import LevelVad, chunked, dialogue
from tests.process_memory import children

READ = (
    "import os, sys, time, json, struct\n"
    "def exactly(n):\n"
    "    data = b''\n"
    "    while len(data) < n:\n"
    "        part = os.read(0, n - len(data))\n"
    "        if not part: sys.exit(0)\n"
    "        data += part\n"
    "    return data\n"
    "def asked():\n"
    "    told, count = struct.unpack('<II', exactly(8))\n"
    "    return json.loads(exactly(told)), exactly(2 * count)\n"
    "def say(**fields): os.write(1, (json.dumps(fields) + '\\n').encode())\n"
    "def opinion(**more):\n"
    "    said = dict(negative=0.7, neutral=0.2, positive=0.1, factors={'officer': 1.0}, thin=True)\n"
    "    say(opinion=said, transcription_cpu_s=0.5, text_cpu_s=0.25, **{'sealed': [], **more})\n"
    "say(ready='')\n"
)
ANSWER = READ + "while True:\n    asked()\n    opinion()\n"
HANG = READ + "asked()\ntime.sleep(600)\n"
SOUND = SpokenSound(np.full(16_000, 3000, np.int16), 1.0)


@pytest.fixture
def supply() -> Iterator[Callable[[str], JudgeSupply]]:
    """Make supplies whose process is a program of a test."""
    made: list[JudgeSupply] = []

    def of(program: str) -> JudgeSupply:
        registry = Registry.default()
        command = (sys.executable, "-c", program)
        made.append(JudgeSupply(transcriber_file(registry), registry.locate(NAME), command=command))
        return made[-1]

    yield of
    for item in made:
        item.close()


def until(true: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + 60
    while not true():
        assert time.monotonic() < limit, what
        time.sleep(0.01)


def gone(process_id: int) -> bool:
    return process_id not in children(os.getpid())


def test_an_opinion_comes_back_as_numbers_and_codes(supply: Callable[[str], JudgeSupply]) -> None:
    judgement = supply(ANSWER).take().judge(SOUND)
    assert judgement.opinion is not None
    assert (judgement.opinion.negative, dict(judgement.opinion.factors)) == (0.7, {"officer": 1.0})
    assert judgement.opinion.thin
    assert (judgement.transcription_cpu_s, judgement.text_cpu_s) == (0.5, 0.25)


def test_nothing_runs_ahead_until_it_is_asked_for(supply: Callable[[str], JudgeSupply]) -> None:
    judges = supply(ANSWER)
    judge = judges.take()
    assert judges.process_ids == ()
    judge.judge(SOUND)
    judge.end()
    assert judges.process_ids == ()


def test_each_session_has_the_process_that_waited_and_takes_it_along(
    supply: Callable[[str], JudgeSupply],
) -> None:
    judges = supply(ANSWER)
    judges.keep_ready()
    seen = []
    for _ in range(3):
        until(lambda: len(judges.process_ids) == 1, "a process that waits")
        (waiting,) = judges.process_ids
        judge = judges.take()
        judge.judge(SOUND)
        assert judge.process.process_id == waiting
        judge.end()
        judge.end()
        assert gone(waiting), "ended and reaped"
        seen.append(waiting)
    assert len(set(seen)) == 3
    judges.close()
    assert judges.process_ids == ()


def test_sessions_at_once_share_no_process(supply: Callable[[str], JudgeSupply]) -> None:
    judges = supply(ANSWER)
    one, other = judges.take(), judges.take()
    one.judge(SOUND)
    other.judge(SOUND)
    assert one.process.process_id != other.process.process_id
    one.end()
    other.judge(SOUND)


def test_a_session_that_ends_waits_for_no_answer(supply: Callable[[str], JudgeSupply]) -> None:
    judge = supply(HANG).take()
    judge.warm_up()
    process_id = judge.process.process_id
    assert process_id is not None
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            judge.judge(SOUND)
        except TranscriberError as error:
            raised.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.2)
    began = time.monotonic()
    judge.end()
    asking.join(30)
    assert time.monotonic() - began < 10
    assert [type(error) for error in raised] == [TranscriberUnusable]
    assert gone(process_id)
    with pytest.raises(TranscriberUnusable, match="closed"):
        judge.judge(SOUND)


def test_a_process_that_is_killed_is_replaced_and_read_on(supply: Callable[[str], JudgeSupply]) -> None:
    judge = supply(ANSWER).take()
    judge.judge(SOUND)
    first = judge.process.process_id
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert judge.judge(SOUND).opinion is not None
    assert judge.process.process_id != first
    assert gone(first)


@pytest.mark.parametrize(
    ("program", "named"),
    [
        (READ + "asked(); say(error='ValueError'); asked()\n", "refused a piece: ValueError"),
        (READ + "asked(); os.write(1, 'rất bực mình\\n'.encode()); asked()\n", "no JSON"),
    ],
)
def test_a_failure_names_no_word(supply: Callable[[str], JudgeSupply], program: str, named: str) -> None:
    with pytest.raises(TranscriberError, match=named) as caught:
        supply(program).take().judge(SOUND)
    assert "mình" not in str(caught.value)


def test_a_supply_that_was_closed_gives_judges_that_refuse(supply: Callable[[str], JudgeSupply]) -> None:
    judges = supply(ANSWER)
    judges.keep_ready()
    judges.close()
    with pytest.raises(TranscriberUnusable, match="closed"):
        judges.take().judge(SOUND)
    assert judges.process_ids == ()


def test_quotes_are_asked_for_only_where_they_are_kept(supply: Callable[[str], JudgeSupply]) -> None:
    program = READ + (
        "import base64\nwhile True:\n    told, _ = asked()\n    sealing = told.get('sealing')\n"
        "    number = b'' if sealing is None else bytes([sealing['sequence']])\n"
        "    opinion(sealed=[base64.b64encode(b'sealed' + number).decode()])\n"
    )
    taken: list[SealedQuote] = []
    judges = supply(program)
    judge = judges.take(QuoteSealing(bytes(32), b"record", taken.append))
    judge.judge(SOUND)
    judge.judge(SOUND)
    assert taken == [SealedQuote(0, b"sealed\0"), SealedQuote(1, b"sealed\1")]
    judges.take().judge(SOUND)
    assert len(taken) == 2


def test_the_real_process_says_what_is_said_here_and_seals_what_it_read(shared: Path) -> None:
    clip = load_sound(min((shared / "data" / "speech" / "clips").glob("*.mp3")))[0]
    sound = SpokenSound(clip, clip.size / 16_000, 1.5, 6.0)
    taken: list[SealedQuote] = []
    registry, key = Registry.default(), os.urandom(32)
    judges = JudgeSupply.load(registry)
    try:
        judge = judges.take(QuoteSealing(key, b"record", taken.append))
        judgement = judge.judge(sound)
        limits = Path(f"/proc/{judge.process.process_id}/limits").read_text("ascii")
        assert judge.judge(SOUND).opinion is None, "a steady level is no word"
    finally:
        judges.close()
    (line,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert int(line.split()[4]) <= 1, "a crash leaves no core image"
    with load_transcriber(registry) as transcriber:
        kept: list[object] = []
        here = WordJudge(transcriber, TextSentiment.load(registry), keep=kept.append).judge(sound)
    assert here.opinion is not None
    assert judgement.opinion == here.opinion
    assert judgement.transcription_cpu_s > 0.0
    (sealed,) = taken
    assert [open_quote(sealed.sealed, key, b"record", 0)] == kept


def test_purge_ends_the_process_in_the_middle_of_an_utterance(supply: Callable[[str], JudgeSupply]) -> None:
    judges = supply(HANG)
    voice = VoiceReader(LevelVad, judges.take)  # type: ignore[arg-type]  # a level for a network
    for chunk in chunked(dialogue("cc")):
        voice.hear(Opened(chunk))  # type: ignore[arg-type]  # stands for a permitted chunk
    until(lambda: len(judges.process_ids) == 1, "a process that reads")
    (process_id,) = judges.process_ids
    time.sleep(0.2)
    began = time.monotonic()
    voice.purge()
    assert time.monotonic() - began < 10
    assert gone(process_id)
    assert voice.evidence() == VoiceEvidence()
