"""The process that reads the words of one session: sound in on standard input, opinions out.

Started by `inference.session_judge` as `python -P -m inference.judge_process ENGINE OPTIONS`. It
transcribes, guards, redacts and judges; no word ever leaves it, and it is ended with its session, so
that none stays in a memory that lives on. A request is the sizes of its two parts (two 4-byte
little-endian counts: bytes of JSON, samples), a JSON object, and int16 samples at 16 kHz; an answer
is one line of JSON that holds numbers, codes of factors, and a sealed quote where one was asked for.
"""

from __future__ import annotations

import base64
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inference.judgement import SIZES, SpokenSound
from inference.quote_sealing import seal_quote
from inference.transcript_guard import GuardConfig
from inference.utterance_judge import WordJudge
from models.asr_process import Reader, leave, main, open_engine, read_exactly, say
from models.speech_pieces import MIN_PIECE_S, SAMPLE_RATE_HZ, split_at_quietest
from models.text_sentiment import TextSentiment, Weights
from models.transcribers import plain_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from inference.quotes import Keep, RedactedQuote


class _EngineWords:
    """The engine in this process as a transcriber."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def transcribe(self, samples: NDArray[np.int16]) -> str:
        pieces = [piece for piece in split_at_quietest(samples) if piece.size >= MIN_PIECE_S * SAMPLE_RATE_HZ]
        texts = [plain_words(self._reader(piece.astype("<i2").tobytes())) for piece in pieces]
        return " ".join(text for text in texts if text)


def _serve(answers: int, engine: str, options: Mapping[str, Any]) -> None:
    """Load engine and text model, say so, and judge until standard input ends."""
    words = _EngineWords(open_engine(engine, options))
    sentiment = TextSentiment(Weights.read(Path(options["sentiment"])))
    say(answers, ready=engine)
    while (header := read_exactly(SIZES.size)) is not None:
        told_bytes, count = SIZES.unpack(header)
        told, body = read_exactly(told_bytes), read_exactly(2 * count)
        if told is None or body is None:
            return
        try:
            fields = _answer(words, sentiment, json.loads(told), np.frombuffer(body, "<i2"))
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
            # The class alone: a message may repeat what was read.
            say(answers, error=type(error).__name__)
        else:
            say(answers, **fields)


def _answer(
    words: _EngineWords, sentiment: TextSentiment, told: Mapping[str, Any], samples: NDArray[np.int16]
) -> dict[str, Any]:
    sealed: list[str] = []
    judge = WordJudge(words, sentiment, keep=_keep(told.get("sealing"), sealed))
    judgement = judge.judge(
        SpokenSound(
            samples, told["speech_s"], told["start_s"], told["end_s"], guard=GuardConfig(**told["guard"])
        )
    )
    opinion = judgement.opinion
    return {
        "opinion": None
        if opinion is None
        else {
            "negative": opinion.negative,
            "neutral": opinion.neutral,
            "positive": opinion.positive,
            "factors": dict(opinion.factors),
            "thin": opinion.thin,
        },
        "transcription_cpu_s": judgement.transcription_cpu_s,
        "text_cpu_s": judgement.text_cpu_s,
        "sealed": sealed,
    }


def _keep(sealing: Mapping[str, Any] | None, sealed: list[str]) -> Keep | None:
    """Return what takes quotes under the key of the session; None where none is asked for."""
    if sealing is None:
        return None
    seal = partial(
        seal_quote,
        key=base64.b64decode(sealing["key"]),
        context=base64.b64decode(sealing["context"]),
        sequence=sealing["sequence"],
    )

    def keep(quote: RedactedQuote) -> None:
        sealed.append(base64.b64encode(seal(quote)).decode("ascii"))

    return keep


if __name__ == "__main__":
    leave(main(sys.argv[1:], _serve))
