"""The words that pages use for states, entries, answers and findings of consents."""

from collections.abc import Mapping
from typing import Final

from api.coercion import Flag
from api.consent_checks import FirstFrame, Length, Proof
from api.pages.rendering import no_op
from consent.entry import Outcome
from consent.purpose import Purpose
from consent.record import Answer, IndicatedBy
from consent.state import State
from consent.stopping import StopMethod

STATES: Final[Mapping[str, str]] = {
    State.OFFERED: no_op("asked, no answer yet"),
    State.GIVEN: no_op("given"),
    State.REFUSED: no_op("refused"),
    State.DEFERRED: no_op("no answer in time"),
    State.WITHDRAWN: no_op("withdrawn"),
    State.EXPIRED: no_op("expired"),
    State.COMPLETED: no_op("completed"),
    State.REVOKED: no_op("stopped by the agency"),
    State.INVALIDATED: no_op("stopped by the authority"),
}
ENTRIES: Final[Mapping[str, str]] = {
    "offered": no_op("question put"),
    "shown": no_op("notice shown"),
    "given": no_op("consent given"),
    "refused": no_op("consent refused"),
    "deferred": no_op("no answer in time"),
    "withdrawn": no_op("consent withdrawn"),
    "expired": no_op("consent expired"),
    "completed": no_op("consent completed"),
    "revoked": no_op("stopped by the agency"),
    "invalidated": no_op("stopped by the authority"),
    "closed": no_op("service ended"),
    "session-started": no_op("slot opened, then the devices"),
    "session-ended": no_op("slot closed"),
    "capture-gap": no_op("gap in the capture"),
    "erasure-started": no_op("erasure begun"),
    "erasure-done": no_op("erasure done, key destroyed"),
    "quotes-read": no_op("kept quotes read"),
    "withdrawal-requested": no_op("withdrawal asked for"),
    "access": no_op("data read"),
    "export": no_op("data exported"),
    "request": no_op("request registered"),
}
PURPOSES: Final[Mapping[str, str]] = {
    Purpose.IMAGE: no_op("image of the face"),
    Purpose.VOICE: no_op("voice"),
    Purpose.QUOTES: no_op("redacted quotes"),
}
ANSWERS: Final[Mapping[str, str]] = {
    Answer.GIVEN: no_op("given"),
    Answer.REFUSED: no_op("refused"),
    Answer.OPEN: no_op("open"),
}
PEOPLE: Final[Mapping[str, str]] = {
    IndicatedBy.CITIZEN: no_op("citizen"),
    IndicatedBy.SYSTEM: no_op("system"),
    IndicatedBy.CONTROLLER: no_op("agency"),
    IndicatedBy.AUTHORITY: no_op("authority"),
}
METHODS: Final[Mapping[str, str]] = {
    "offer": no_op("by the program"),
    "screen": no_op("on the screen"),
    "tap": no_op("tap on the screen"),
    "button": no_op("button on the screen"),
    "receipt": no_op("code of the slip"),
    "remote-receipt": no_op("code of the slip, from afar"),
    "timeout": no_op("time ran out"),
    "time-limit": no_op("time limit"),
    "restart": no_op("restart of the machine"),
    "contact-lost": no_op("contact with the centre lost"),
    "end-of-service": no_op("end of the service"),
    "child": no_op("a child"),
    "bystander": no_op("a bystander"),
    StopMethod.SECOND_FACE: no_op("a second face at the seat"),
    StopMethod.ACCOMPANIED_CHILD: no_op("accompanied by a child, said the officer"),
}
"""Methods that are known by a name; any other is shown as the log has it."""
OUTCOMES: Final[Mapping[str, str]] = {
    Outcome.SIGNAL: no_op("a signal left"),
    Outcome.ABSTAINED: no_op("a signal without a figure: too little evidence"),
    Outcome.NOTHING: no_op("nothing left"),
    Outcome.WITHDRAWN: no_op("withdrawn, nothing kept"),
    Outcome.STOPPED: no_op("stopped, nothing kept"),
    Outcome.FAILED: no_op("a fault of ours"),
}
PROOFS: Final[Mapping[str, str]] = {
    Proof.HOLDS: no_op("proven"),
    Proof.WAITING: no_op("waits for a checkpoint"),
    Proof.CHANGED: no_op("CHANGED: the bytes are not those that were hashed"),
    Proof.REFUSED: no_op("WRONG: the proof does not lead to a signed root"),
}
FIRST_FRAMES: Final[Mapping[str, str]] = {
    FirstFrame.PROVEN: no_op("Proven: the consent stands before the first frame"),
    FirstFrame.WAITING: no_op("In the right order; the proof waits for a checkpoint"),
    FirstFrame.VIOLATED: no_op("VIOLATED: devices were opened without a consent before"),
    FirstFrame.NO_CAPTURE: no_op("Nothing was captured"),
}
LENGTHS: Final[Mapping[str, str]] = {
    Length.WITHIN: no_op("Within the consent"),
    Length.MORE: no_op("MORE than was consented to"),
    Length.NO_CAPTURE: no_op("Nothing was captured"),
    Length.RUNNING: no_op("The session still runs"),
    Length.LOST: no_op("LOST: the slot was never closed"),
}
FLAGS: Final[Mapping[str, str]] = {
    Flag.QUICK: no_op("answers within a second"),
    Flag.ALL_YES: no_op("everybody allows everything"),
    Flag.BURST: no_op("bursts of consents"),
    Flag.CHILD: no_op("children declared far more often than elsewhere"),
    Flag.SECOND_FACE: no_op("second faces far more often than elsewhere"),
}
GOOD: Final = frozenset((Proof.HOLDS.value, FirstFrame.PROVEN.value, Length.WITHIN.value))
BAD: Final = frozenset(
    (
        *(Proof.CHANGED.value, Proof.REFUSED.value),
        *(FirstFrame.VIOLATED.value, Length.MORE.value, Length.LOST.value),
    )
)


def tone(finding: str) -> str:
    """Return how a finding is coloured: good, bad, or not at all; the words say it as well."""
    return "good" if finding in GOOD else "bad" if finding in BAD else ""
