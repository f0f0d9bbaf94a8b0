"""The Spin model of the gate: its states are the code's, it holds, and without any one guard it does not."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

import consent.gate
from consent.state import TRANSITIONS, State
from setup import spin

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL: Final = Path(consent.gate.__file__).with_name("gate.pml")
_DEPTH: Final = 100_000
_SAFETY: Final = ("-DSAFETY", "-DNOCLAIM")
_REPORT: Final = re.compile(r"depth reached (\d+), errors: (\d+)")
_STORED: Final = re.compile(r"(\d+) states, stored")


class Verdict(NamedTuple):
    """What one search found."""

    errors: int
    states: int
    text: str


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Verdict]:
    """Check the model, or what is left of it without one guard."""
    lacking = spin.lacking()
    if lacking is not None:
        if os.environ.get("CI"):
            pytest.fail(lacking)
        pytest.skip(lacking)

    def run(*defines: str, safety: bool) -> Verdict:
        (tmp_path / "gate.pml").write_bytes(MODEL.read_bytes())
        _call(tmp_path, str(spin.executable()), "-a", *(f"-D{name}" for name in defines), "gate.pml")
        # Optimised only where millions of states are visited: compiling takes longer than a short search.
        options = ["-O1" if defines in {(), ("ALONE",)} else "-O0", *(_SAFETY if safety else ("-DNFAIR=3",))]
        _call(tmp_path, str(spin.compiler()), "-w", *options, "-o", "pan", "pan.c")
        # Cycles are looked for past a failing assertion; those have searches of their own.
        search = ["-w24"] if safety else ["-a", "-f", "-A", "-E", "-w20"]
        text = _call(tmp_path, "./pan", f"-m{_DEPTH}", *search)
        report, stored = _REPORT.search(text), _STORED.search(text)
        assert report is not None, text
        assert stored is not None, text
        assert int(report[1]) < _DEPTH - 1, f"the search was cut off:\n{text}"
        assert "Search not completed" not in text or int(report[2]), text
        return Verdict(int(report[2]), int(stored[1]), text)

    return run


def _call(folder: Path, *command: str) -> str:
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def test_the_models_states_and_steps_are_the_codes() -> None:
    text = MODEL.read_text("utf-8")
    (states,) = re.findall(r"mtype = \{ (offered,[^}]*) \}", text)
    assert set(states.split(", ")) == {state.value for state in State}
    body = text[text.index("inline write(") : text.index("/* TransitionRefused */")]
    steps = {
        before: frozenset(re.findall(r"to == (\w+)", after))
        for before, after in re.findall(r":: state == (\w+) && \(([^)]*)\) -> state = to", body)
    }
    assert body.count("state == ") == len(steps), "two lines of the model start from one state"
    assert steps == {
        before.value: frozenset(after.value for after in followers)
        for before, followers in TRANSITIONS.items()
        if followers
    }


def test_the_gate_holds_in_every_order_of_events(check: Callable[..., Verdict]) -> None:
    verdict = check(safety=True)
    print(f"{verdict.states} states, {verdict.errors} errors")  # noqa: T201 - shown with -s and in a failure
    assert verdict.errors == 0, verdict.text
    assert verdict.states > 1_000_000, "the model hardly does anything"
    never = re.findall(r'gate\.pml:\d+, state \d+, "(.*)"', verdict.text)
    # A claim of Spin's own and processes that never end are all that is not visited, but for
    # the step that a program refuses to take twice.
    assert set(never) <= {"-end-", "assert(0)", "written = 0", "interrupted = 1"}, verdict.text


def test_the_device_is_closed_in_the_end_though_nobody_presses_anything(
    check: Callable[..., Verdict],
) -> None:
    verdict = check("ALONE", safety=False)
    assert verdict.errors == 0, verdict.text
    assert verdict.states > 10_000, "the model hardly does anything"


@pytest.mark.parametrize(
    "guard",
    [
        "CACHED_LEASE",
        "PREROLL",
        "LAST_LOOK",
        *(
            pytest.param(guard, marks=pytest.mark.long)
            for guard in ("WRITE_FIRST", "FAIL_OPEN", "WALL_CLOCK", "LEFT_OPEN", "STRAY", "KEPT_UNITS")
        ),
    ],
)
def test_without_one_guard_media_gets_out(check: Callable[..., Verdict], guard: str) -> None:
    verdict = check(f"BROKEN_{guard}", safety=True)
    assert verdict.errors > 0, f"the model does not need {guard}: it has no teeth"
    assert "assertion violated" in verdict.text


def test_without_the_watching_thread_a_blocked_device_stays_open(check: Callable[..., Verdict]) -> None:
    verdict = check("ALONE", "BROKEN_NO_WATCH", safety=True)
    assert verdict.errors > 0, verdict.text
    assert "invalid end state" in verdict.text


def test_without_the_hard_limit_the_device_stays_open(check: Callable[..., Verdict]) -> None:
    verdict = check("ALONE", "BROKEN_ENDLESS", safety=False)
    assert verdict.errors > 0, verdict.text
    assert "acceptance cycle" in verdict.text


def test_every_guard_that_can_be_left_out_is_tried() -> None:
    named = set(re.findall(r"BROKEN_(\w+)", MODEL.read_text("utf-8")))
    tried = set(re.findall(r"\"([A-Z_]{5,})\"", Path(__file__).read_text("utf-8"))) | {"NO_WATCH", "ENDLESS"}
    assert named <= tried
