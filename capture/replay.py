"""Read recordings under a consent, without any server: what `hailong edge replay` does."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capture.config import CounterConfig
from capture.consent_script import decide_scripted, offer_scripted, withdraw_scripted
from capture.counter import Counter, oriented
from capture.outbox import Outbox
from capture.recording import RecordingSource
from consent.gate import Gate
from consent.ledger import ConsentStore
from consent.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from capture.consent_script import ConsentScript
    from capture.source import MediaSource, MediaUnit
    from consent.gate import Permitted
    from inference.perception import Perception
    from inference.signal import Signal


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one recording gave.

    Attributes:
        media: The recording.
        consent: State of its consent at the end.
        signal: The signal; None when there was no consent, no evidence, or a withdrawal.
        error: What broke off the reading, in words.
    """

    media: Path
    consent: State
    signal: Signal | None
    error: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the documented JSON form."""
        return {
            "media": str(self.media),
            "consent": self.consent.value,
            "signal": None if self.signal is None else self.signal.model_dump(mode="json"),
            "error": self.error,
        }


def replay(
    media: Path,
    script: ConsentScript,
    perception: Perception,
    *,
    counter: CounterConfig,
    software: str,
    on_unit: Callable[[str, Permitted[MediaUnit]], None] | None = None,
    source: MediaSource | None = None,
) -> Replayed:
    """Read one recording as fast as the networks go.

    The consent log and the outbox of a replay live in a folder that is removed at the
    end: nothing of it is kept but what is returned.

    Args:
        media: The recording.
        script: What its citizen decided. A withdrawal after so many seconds is taken at
            that position of the recording.
        perception: The networks.
        counter: Zone and channels to read it with.
        software: Version that the signal states.
        on_unit: Told of each unit that was read.
        source: Where the media comes from; None for the file.
    """
    with (
        tempfile.TemporaryDirectory(prefix="hailong-replay-") as folder,
        ConsentStore(Path(folder) / "consent.sqlite") as store,
    ):
        outbox = Outbox(Path(folder) / "outbox.sqlite")
        try:
            record_id = offer_scripted(store, counter.code, script)
            state = decide_scripted(store, record_id, script)
            if state is not State.GIVEN:
                return Replayed(media, state, None, None)
            gate = Gate(store)
            first_ns: int | None = None

            def see(code: str, unit: Permitted[MediaUnit]) -> None:
                nonlocal first_ns
                if script.withdraws_after_s is not None:
                    captured_ns = unit.open().captured_ns
                    first_ns = captured_ns if first_ns is None else first_ns
                    if captured_ns - first_ns >= script.withdraws_after_s * 1e9:
                        withdraw_scripted(store, record_id)
                        return
                if on_unit is not None:
                    on_unit(code, unit)

            served = Counter(
                counter,
                store=store,
                gate=gate,
                outbox=outbox,
                perception=perception,
                software=software,
                on_unit=see,
            )
            source = oriented(counter, RecordingSource(media) if source is None else source)
            result = served.session(gate.grant(record_id), source).run()
            return Replayed(media, result.state, result.signal, result.error)
        finally:
            outbox.close()


def replay_counter(code: str = "replay") -> CounterConfig:
    """Return the counter that a replay stands for: default zone, citizen on the left channel."""
    return CounterConfig(code=code, camera="file:-")
