from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from consent.gate import Gate, Permitted
from consent.ledger import ConsentStore
from consent.notice import NoticeShelf
from consent.purpose import Purpose
from consent.record import draft
from consent.terms import load_terms
from inference.media import AudioChunk
from inference.roles import RoleConfig
from inference.signal import Factor
from inference.utterance_judge import WordJudge
from inference.voice_evidence import AudioFormatUnsupportedError, VoiceConfig, VoiceEvidence, VoiceReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

RATE = 16_000
NS = 1_000_000_000
START_NS = 1_700_000_000 * NS


@dataclass
class Device:
    chunks: list[AudioChunk]

    def read(self) -> AudioChunk | None:
        return self.chunks.pop(0) if self.chunks else None

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


@dataclass
class Source:
    chunks: list[AudioChunk]

    def open(self, purposes: frozenset[Purpose]) -> Device:
        return Device(list(self.chunks))


@pytest.fixture
def permit(tmp_path: Path) -> Iterator[Callable[[list[AudioChunk]], Iterator[Permitted[AudioChunk]]]]:
    """Pass chunks through the real gate under a given voice consent."""
    with ExitStack() as stack:
        store = stack.enter_context(ConsentStore(tmp_path / "consent.sqlite"))

        def through(chunks: list[AudioChunk]) -> Iterator[Permitted[AudioChunk]]:
            notice = NoticeShelf.load().current("vi")
            purposes = (Purpose.VOICE,)
            record = draft(
                counter="counter-1",
                notice=notice.reference(purposes),
                purposes=purposes,
                categories=notice.categories(purposes),
                terms=load_terms(),
                offered_at=datetime.now(UTC),
            )
            store.offer(record)
            store.decide(record.record_id, {Purpose.VOICE: True}, "citizen", "screen")
            gate = Gate(store)
            return stack.enter_context(gate.stream(gate.grant(record.record_id), Source(chunks)))

        yield through


class LevelVad:
    """Calls a window speech when it is loud: what the network does, without its delay."""

    def __init__(self) -> None:
        self.resets = 0

    def probability(self, window: NDArray[np.int16]) -> float:
        return 0.95 if np.abs(window.astype(np.int32)).max() > 900 else 0.01

    def reset(self) -> None:
        self.resets += 1


@dataclass
class Listener:
    """Remembers what it was given; answers with fixed words."""

    answer: str = "tôi không hài lòng"
    heard: list[NDArray[np.int16]] = field(default_factory=list)
    name: str = "listener"
    version: str = "1"
    sha256: str = "0" * 64
    hold: threading.Event | None = None
    entered: threading.Event = field(default_factory=threading.Event)

    def transcribe(self, samples: NDArray[np.int16]) -> str:
        self.heard.append(samples)
        self.entered.set()
        if self.hold is not None:
            self.hold.wait(30)
        return self.answer

    def close(self) -> None: ...

    def version_of(self) -> tuple[str, str, str]:
        return self.name, self.version, self.sha256


@dataclass(frozen=True)
class Opinion:
    negative: float = 0.7
    neutral: float = 0.2
    positive: float = 0.1
    factors: dict[str, float] = field(default_factory=lambda: {"officer": 1.0})
    reasons: tuple[str, ...] = ("không hài lòng",)
    thin: bool = True


@dataclass
class Judge:
    texts: list[str] = field(default_factory=list)

    def read(self, text: str) -> Opinion:
        self.texts.append(text)
        return Opinion()


def tone(frequency_hz: float, length_s: float, level: float = 0.2) -> NDArray[np.float64]:
    return np.asarray(level * np.sin(2 * np.pi * frequency_hz * np.arange(int(length_s * RATE)) / RATE))


CITIZEN_HZ, OFFICER_HZ = 200.0, 1000.0


def dialogue(
    turns: str, *, turn_s: float = 2.0, pause_s: float = 1.0, bleed: float = 0.2
) -> NDArray[np.int16]:
    """Lay turns of the citizen (`c`, 200 Hz) and officer (`o`, 1 kHz) on two microphones with bleed."""
    parts = []
    for turn in turns:
        own = tone(CITIZEN_HZ if turn == "c" else OFFICER_HZ, turn_s)
        both = np.stack((own, own * bleed)) if turn == "c" else np.stack((own * bleed, own))
        parts += [np.zeros((2, int(pause_s * RATE))), both]
    sound = np.concatenate([*parts, np.zeros((2, int(pause_s * RATE)))], axis=1)
    hiss = np.random.default_rng(5).normal(0.0, 0.0005, sound.shape)
    return ((sound + hiss) * 32767).astype(np.int16)


def chunked(
    sound: NDArray[np.int16], size: int = 1600, start_ns: int = START_NS, segment: int = 0
) -> list[AudioChunk]:
    return [
        AudioChunk(sound[:, at : at + size], RATE, start_ns + at * NS // RATE, at // size, segment)
        for at in range(0, sound.shape[1], size)
    ]


def share_at(samples: NDArray[np.int16], frequency_hz: float) -> float:
    """Return the share of the energy around one frequency."""
    power = np.abs(np.fft.rfft(samples.astype(np.float64))) ** 2
    frequency = np.fft.rfftfreq(samples.shape[0], 1 / RATE)
    return float(power[np.abs(frequency - frequency_hz) < 20].sum() / power.sum())


def reader(listener: Listener, judge: Judge | None = None, config: VoiceConfig | None = None) -> VoiceReader:
    said: Any = judge or Judge()
    return VoiceReader(LevelVad, lambda: WordJudge(listener, said), config)  # type: ignore[arg-type]  # fakes at the edge


def listen(voice: VoiceReader, units: Iterator[Permitted[AudioChunk]]) -> VoiceEvidence:
    for unit in units:
        voice.hear(unit)
    voice.finish()
    return voice.evidence()


def test_only_the_citizens_turns_reach_the_transcriber(permit: Any) -> None:
    listener = Listener()
    evidence = listen(reader(listener), permit(chunked(dialogue("ococo"))))
    assert len(listener.heard) == 2
    for samples in listener.heard:
        assert samples.dtype == np.int16
        assert samples.ndim == 1
        assert share_at(samples, CITIZEN_HZ) > 0.95
        assert share_at(samples, OFFICER_HZ) < 1e-4
    assert evidence.speech_s == pytest.approx(4.0, abs=0.3)
    assert [round((item.start_ns - START_NS) / NS, 1) for item in evidence.utterances] == [3.7, 9.7]


def test_the_officer_alone_is_never_transcribed(permit: Any) -> None:
    listener = Listener()
    evidence = listen(reader(listener), permit(chunked(dialogue("oooo", bleed=0.5))))
    assert listener.heard == []
    assert evidence.utterances == ()
    assert evidence.speech_s == 0.0


def test_an_officer_who_cuts_in_without_a_pause_is_silenced(permit: Any) -> None:
    listener = Listener()
    # Tones have no pauses that let the room through, so it is heard first.
    sound = np.concatenate((dialogue("", pause_s=3.0), dialogue("cococ", pause_s=0.0)), axis=1)
    listen(reader(listener), permit(chunked(sound)))
    assert listener.heard
    for samples in listener.heard:
        assert share_at(samples, OFFICER_HZ) < 0.002


@pytest.mark.parametrize("size", [1, 7, 160, 512, 1600, 16_000, 1_000_000])
def test_chunk_boundaries_do_not_matter(permit: Any, size: int) -> None:
    sound = dialogue("co", turn_s=0.6, pause_s=0.7)[:, : 30_000 if size == 1 else None]
    first, second = Listener(), Listener()
    one = listen(reader(first), permit(chunked(sound)))
    other = listen(reader(second), permit(chunked(sound, size)))
    assert [item.tolist() for item in first.heard] == [item.tolist() for item in second.heard]
    assert [(item.start_ns // 10_000) for item in one.utterances] == [
        (item.start_ns // 10_000) for item in other.utterances
    ]


def test_how_the_two_people_talked(permit: Any) -> None:
    sound = dialogue("ococ", pause_s=1.5)
    found = listen(reader(Listener()), permit(chunked(sound)))
    dynamics = found.dialogue
    assert (dynamics.citizen_turns, dynamics.changes, dynamics.cut_ins) == (2, 3, 0)
    assert dynamics.compared
    assert dynamics.citizen_share == pytest.approx(0.5, abs=0.05)
    assert dynamics.together_s == 0.0
    assert dynamics.span_s == pytest.approx(4 * 2.0 + 3 * 1.5, abs=0.2)
    assert dynamics.gap_median_s == pytest.approx(1.5, abs=0.1)
    assert dynamics.longest_silence_s == pytest.approx(1.5, abs=0.1)
    assert found.from_ns == START_NS
    assert found.to_ns is not None
    assert (found.to_ns - START_NS) / NS == pytest.approx(4 * 2.0 + 5 * 1.5, abs=0.05)
    one = listen(reader(Listener()), permit(chunked(sound[:1])))
    assert one.dialogue.citizen_share is None


def test_text_is_redacted_before_it_is_judged_and_evidence_holds_none(permit: Any) -> None:
    judge = Judge()
    words = "số của tôi là không chín một hai ba bốn năm sáu bảy tám tôi không hài lòng"
    evidence = listen(reader(Listener(words), judge), permit(chunked(dialogue("c", turn_s=6.0))))
    (text,) = judge.texts
    assert "bốn năm sáu" not in text
    assert "không hài lòng" in text
    (spoken,) = evidence.utterances
    assert (spoken.negative, spoken.neutral, spoken.positive) == (0.7, 0.2, 0.1)
    assert spoken.thin
    assert dict(spoken.factors) == {Factor.OFFICER: 1.0}
    with pytest.raises(TypeError):
        spoken.factors[Factor.ACCESS] = 1.0  # type: ignore[index]  # it must not be writable


def strings_in(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if is_dataclass(value) and not isinstance(value, type):
        return [text for item in fields(value) for text in strings_in(getattr(value, item.name))]
    if isinstance(value, dict) or hasattr(value, "items"):
        return [text for pair in value.items() for item in pair for text in strings_in(item)]
    if isinstance(value, (tuple, list, set)):
        return [text for item in value for text in strings_in(item)]
    return []


def test_evidence_holds_no_string_but_factor_codes(permit: Any) -> None:
    evidence = listen(reader(Listener()), permit(chunked(dialogue("coc"))))
    found = strings_in(evidence)
    assert found == ["officer", "officer"]
    assert all(isinstance(text, Factor) for text in found)


def test_no_word_stays_in_the_reader(permit: Any) -> None:
    voice = reader(Listener(answer="kim tiền thảo bạch đàn"))
    listen(voice, permit(chunked(dialogue("c"))))
    seen: set[int] = set()

    def walk(value: object) -> Iterator[object]:
        if id(value) in seen or isinstance(value, (Listener, Judge)):
            return
        seen.add(id(value))
        yield value
        if isinstance(value, (list, tuple, set, frozenset)) or type(value).__name__ == "deque":
            for item in value:  # type: ignore[attr-defined]  # a collection
                yield from walk(item)
        for name in [*getattr(value, "__dict__", {}), *getattr(type(value), "__slots__", ())]:
            yield from walk(getattr(value, name, None))

    assert not [text for text in walk(voice) if isinstance(text, str) and "thảo" in text]


def test_refused_text_is_counted_and_never_judged(permit: Any) -> None:
    judge = Judge()
    evidence = listen(
        reader(Listener("hãy subscribe cho kênh"), judge), permit(chunked(dialogue("c", turn_s=3.0)))
    )
    assert judge.texts == []
    assert evidence.utterances == ()
    assert evidence.refused == 1


def test_one_channel_is_dropped_as_unsure_unless_it_is_the_citizens(permit: Any) -> None:
    sound = dialogue("c")[:1]
    listener = Listener()
    evidence = listen(reader(listener), permit(chunked(sound)))
    assert listener.heard == []
    assert evidence.dropped_s == pytest.approx(2.0, abs=0.1)
    config = VoiceConfig(roles=RoleConfig(single_channel="citizen"))
    evidence = listen(reader(listener, config=config), permit(chunked(sound)))
    assert len(listener.heard) == 1
    assert evidence.dropped_s == 0.0
    assert evidence.speech_s == pytest.approx(2.0, abs=0.1)


def test_sound_that_is_alike_in_both_microphones_is_dropped(permit: Any) -> None:
    listener = Listener()
    evidence = listen(reader(listener), permit(chunked(dialogue("c", bleed=1.0))))
    assert listener.heard == []
    assert evidence.dropped_s == pytest.approx(2.0, abs=0.1)


def test_a_gap_ends_the_utterance_and_is_counted(permit: Any) -> None:
    sound = dialogue("c", turn_s=4.0)
    half = 48_000
    late_ns = START_NS + half * NS // RATE + 3 * NS
    chunks = chunked(sound[:, :half]) + chunked(sound[:, half:], start_ns=late_ns, segment=1)
    listener = Listener()
    evidence = listen(reader(listener), permit(chunks))
    assert len(listener.heard) == 2
    assert evidence.gaps == 1
    assert evidence.gap_s == pytest.approx(3.0)
    assert evidence.utterances[0].end_ns <= START_NS + half * NS // RATE
    assert evidence.utterances[1].start_ns >= late_ns


def test_small_errors_of_the_clock_are_no_gap(permit: Any) -> None:
    chunks = [
        AudioChunk(chunk.samples, RATE, chunk.captured_ns + (index % 2) * 2_000_000, index)
        for index, chunk in enumerate(chunked(dialogue("c")))
    ]
    listener = Listener()
    evidence = listen(reader(listener), permit(chunks))
    assert evidence.gaps == 0
    assert len(listener.heard) == 1


def test_silence_and_waiting_are_measured(permit: Any) -> None:
    sound = np.concatenate((dialogue("c"), np.zeros((2, 8 * RATE), np.int16), dialogue("c")), axis=1)
    evidence = listen(reader(Listener()), permit(chunked(sound)))
    assert evidence.heard_s == pytest.approx(16.0, abs=0.1)
    assert evidence.silence_s == pytest.approx(12.0, abs=0.3)
    assert evidence.waiting_s == pytest.approx(10.0, abs=0.3)
    assert evidence.noise_dbfs is not None
    assert evidence.noise_dbfs < -60


def test_purge_drops_sound_and_evidence_and_the_call_under_way(permit: Any) -> None:
    listener = Listener(hold=threading.Event())
    judge = Judge()
    voice = reader(listener, judge)
    for unit in permit(chunked(dialogue("cccc"))):
        voice.hear(unit)
    assert listener.entered.wait(30)
    purger = threading.Thread(target=voice.purge)
    purger.start()
    assert listener.hold is not None
    while not voice._reader._dropped.is_set():
        pass
    listener.hold.set()
    purger.join(30)
    assert not purger.is_alive()
    assert judge.texts == []
    assert len(listener.heard) == 1
    assert voice.evidence() == VoiceEvidence()


def test_purge_lets_go_of_a_reader_that_waits_for_the_recogniser(permit: Any) -> None:
    listener = Listener(hold=threading.Event())
    voice = reader(listener, config=VoiceConfig(waiting_utterances=1))
    units = permit(chunked(dialogue("cccccc", turn_s=0.5)))

    def hear_all() -> None:
        for unit in units:
            voice.hear(unit)

    hearer = threading.Thread(target=hear_all)
    hearer.start()
    assert listener.entered.wait(30)
    purger = threading.Thread(target=voice.purge)
    purger.start()
    while not voice._reader._dropped.is_set():
        pass
    assert listener.hold is not None
    listener.hold.set()
    hearer.join(30)
    purger.join(30)
    assert not hearer.is_alive()
    assert not purger.is_alive()
    voice.purge()  # what was heard behind the first purge goes too
    assert voice._reader._queue.empty()
    assert voice.evidence() == VoiceEvidence()


def test_a_purged_reader_serves_the_next_citizen(permit: Any) -> None:
    listener = Listener()
    voice = reader(listener)
    listen(voice, permit(chunked(dialogue("c"))))
    voice.purge()
    assert len(listen(voice, permit(chunked(dialogue("cc")))).utterances) == 2


def test_nothing_is_read_after_withdrawal(tmp_path: Path) -> None:
    from consent.errors import NotPermitted  # noqa: PLC0415 - only this test needs it
    from consent.state import State  # noqa: PLC0415 - as above

    with ConsentStore(tmp_path / "consent.sqlite") as store:
        notice = NoticeShelf.load().current("vi")
        record = draft(
            counter="counter-1",
            notice=notice.reference((Purpose.VOICE,)),
            purposes=(Purpose.VOICE,),
            categories=notice.categories((Purpose.VOICE,)),
            terms=load_terms(),
            offered_at=datetime.now(UTC),
        )
        store.offer(record)
        store.decide(record.record_id, {Purpose.VOICE: True}, "citizen", "screen")
        gate = Gate(store)
        listener = Listener()
        voice = reader(listener)
        with gate.stream(gate.grant(record.record_id), Source(chunked(dialogue("c")))) as units:
            unit = next(iter(units))
            store.apply(record.record_id, State.WITHDRAWN, "citizen", "screen")
            with pytest.raises(NotPermitted):
                voice.hear(unit)
        voice.purge()
        assert listener.heard == []


def test_a_failing_transcriber_is_reported_and_not_swallowed(permit: Any) -> None:
    class Broken(Listener):
        def transcribe(self, samples: NDArray[np.int16]) -> str:
            raise RuntimeError("the process ended")

    voice = reader(Broken())
    with pytest.raises(RuntimeError, match="the process ended"):
        listen(voice, permit(chunked(dialogue("cccc"))))
    voice.purge()
    assert voice.evidence() == VoiceEvidence()


def test_a_failure_carries_no_words_in_its_frames(permit: Any) -> None:
    class Breaking(Judge):
        def read(self, text: str) -> Opinion:
            try:
                int(text)
            except ValueError as error:
                raise RuntimeError("the text model is broken") from error
            return Opinion()

    voice = reader(Listener(), Breaking())
    with pytest.raises(RuntimeError) as caught:
        listen(voice, permit(chunked(dialogue("c"))))
    frames = []
    item: BaseException | None = caught.value
    while item is not None:
        trace = item.__traceback__
        while trace is not None:
            frames.append(trace.tb_frame.f_code.co_name)
            trace = trace.tb_next
        item = item.__cause__
    assert "finish" in frames
    assert not {"_read", "read", "_work"} & set(frames)
    assert "utterances" not in {thread.name for thread in threading.enumerate()}


def test_no_thread_is_left_behind(permit: Any) -> None:
    voice = reader(Listener())
    listen(voice, permit(chunked(dialogue("c"))))
    assert "utterances" not in {thread.name for thread in threading.enumerate()}
    voice.hear(next(permit(chunked(dialogue("c")))))
    voice.purge()
    assert "utterances" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("samples", "rate_hz"),
    [
        (np.zeros((2, 1600), np.float32), RATE),
        (np.zeros((2, 1600), np.int32), RATE),
        (np.zeros((3, 1600), np.int16), RATE),
        (np.zeros((0, 1600), np.int16), RATE),
        (np.zeros(1600, np.int16), RATE),
        (np.zeros((2, 1600), np.int16), 48_000),
        (np.zeros((2, 1600), np.int16), 0),
    ],
)
def test_other_sound_is_refused(permit: Any, samples: NDArray[Any], rate_hz: int) -> None:
    (unit,) = permit([AudioChunk(samples, rate_hz, START_NS, 0)])
    with pytest.raises(AudioFormatUnsupportedError, match="resample it"):
        reader(Listener()).hear(unit)


def test_no_sound_at_all_is_no_evidence(permit: Any) -> None:
    assert listen(reader(Listener()), permit([])) == VoiceEvidence()
    (unit,) = permit([AudioChunk(np.zeros((2, 0), np.int16), RATE, START_NS, 0)])
    voice = reader(Listener())
    voice.hear(unit)
    voice.finish()
    assert voice.evidence() == VoiceEvidence()


def test_a_long_stream_does_not_grow(permit: Any) -> None:
    voice = reader(Listener())
    sound = dialogue("oc", turn_s=6.0, pause_s=0.2)
    held = []
    for turn in range(12):
        start_ns = START_NS + turn * sound.shape[1] * NS // RATE
        for unit in permit(chunked(sound, 4000, start_ns)):
            voice.hear(unit)
        held.append(len(voice._cutter._open) + len(voice._undecided) + voice._reader._queue.qsize())
    voice.finish()
    assert max(held) < 600
    assert voice._rest is None
