import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from rich.console import Console

from capture.demo import SAMPLES, Stopped, _stopping_in_order, emptied, read_plan
from capture.demo_centre import remove_left_database
from capture.demo_screen import DemoSession, Screen, _signed, final_rows, results_table
from capture.errors import CaptureError
from capture.playlist import ItemResult
from capture.service_session import SessionResult
from consent.state import State
from inference.signal import Change, Estimate, Factor, FactorEstimate, Quality, Signal

RECORD = UUID(int=7)
PLAN = [
    DemoSession("refusal", "quay-1", Path("a.mp4"), Path("a.toml")),
    DemoSession("silence", "quay-1", Path("b.mp4"), Path("b.toml")),
]


def a_screen() -> tuple[Screen, io.StringIO]:
    written = io.StringIO()
    return Screen(Console(file=written, width=150, soft_wrap=True), PLAN), written


def a_result(name: str, state: State) -> ItemResult:
    return ItemResult(name, "quay-1", RECORD, state, None)


def test_every_planned_file_is_in_the_repository() -> None:
    plan = read_plan(SAMPLES)
    assert {item.name for item in plan} >= {"satisfied", "neutral", "dissatisfied", "refusal", "withdrawal"}
    assert len({item.counter for item in plan}) == 3
    assert [path for item in plan for path in (item.media, item.consent) if not path.is_file()] == []


def test_missing_samples_are_named(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="run the demo in a checkout, or name the folder with --samples"):
        read_plan(tmp_path)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("keep me")
    with pytest.raises(CaptureError, match=r"no demo made \(letter.txt\)"), emptied(tmp_path):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["letter.txt"]


def test_an_earlier_demo_is_emptied(tmp_path: Path) -> None:
    with emptied(tmp_path / "demo") as folder:
        (folder / "centre").mkdir()
        (folder / "centre" / "central.log").write_text("old")
    with emptied(tmp_path / "demo") as folder:
        assert not (folder / "centre").exists()


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        emptied(tmp_path / "demo") as folder,
        pytest.raises(CaptureError, match="another demo runs in"),
        emptied(folder),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CaptureError, match="cannot be used"), emptied(tmp_path / "file" / "demo"):
        pass


@pytest.mark.parametrize(("prefix", "stays"), [("hailong-demo-", False), ("letters-", True)])
def test_only_a_demos_database_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, *, stays: bool
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = Path(tempfile.mkdtemp(prefix=prefix))
    (tmp_path / "database-folder").write_text(str(left))
    remove_left_database(tmp_path)
    assert left.exists() is stays


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_the_demo_once(number: signal.Signals, status: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stopped, _stopping_in_order():
        _be_stopped_twice(number)
    assert stopped.value.status == status
    assert signal.getsignal(number) is before


def _be_stopped_twice(number: signal.Signals) -> None:
    try:
        os.kill(os.getpid(), number)
        time.sleep(5)
    finally:
        os.kill(os.getpid(), number)  # the second one does not break into the stopping


def test_what_a_killed_demo_started_ends() -> None:
    script = (
        "import subprocess, time; from capture.demo_centre import ending_with_us as ending;"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True, preexec_fn=ending());"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        child = int(demo.stdout.readline())
        assert _runs(child)
        demo.kill()
        demo.wait()
        deadline = time.monotonic() + 30
        while _runs(child) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_state_is_said_once() -> None:
    screen, written = a_screen()
    for state in (State.OFFERED, State.REFUSED, State.REFUSED):
        screen.saw_state("quay-1", "refusal", state)
    screen.saw_item(a_result("refusal", State.REFUSED))
    assert written.getvalue().splitlines() == [
        "quay-1  refusal: consent offered",
        "quay-1  refusal: consent refused",
        "quay-1  refusal: refused, no device was opened",
    ]


def test_a_session_without_a_figure_has_none_anywhere() -> None:
    screen, written = a_screen()
    for name, state in (("refusal", State.REFUSED), ("silence", State.DEFERRED)):
        screen.saw_item(a_result(name, state))
    assert final_rows(PLAN, screen.results, {}) == [
        {
            "name": name,
            "counter": "quay-1",
            "consent": consent,
            "score": None,
            "low": None,
            "high": None,
        }
        for name, consent in (("refusal", "refused"), ("silence", "deferred"))
    ]
    assert screen.first_figure_s is None
    Console(file=written, width=150).print(results_table(PLAN, screen.results, {}, width=150))
    assert written.getvalue().count("none") == 2


@pytest.mark.parametrize(("width", "evidence"), [(80, False), (150, True)])
def test_no_figure_is_cut_on_a_narrow_terminal(width: int, *, evidence: bool) -> None:
    plan = [DemoSession("dissatisfied", "quay-1", Path("a.mp4"), Path("a.toml"))]
    result = a_signal("dissatisfied")
    assert result.session is not None
    overall = {"score": 0.25, "low": 0.0625, "high": 0.5}
    written = io.StringIO()
    Console(file=written, width=width).print(
        results_table(plan, {"dissatisfied": result}, {str(result.session.session_id): overall}, width=width)
    )
    shown = written.getvalue()
    assert "0.25 (0.06-0.50)" in shown
    assert "time_cost" in shown
    assert "-0.45" in shown
    assert "…" not in shown
    assert ("utterances" in shown) is evidence
    assert final_rows(plan, {"dissatisfied": result}, {str(result.session.session_id): overall}) == [
        {"name": "dissatisfied", "counter": "quay-1", "consent": "completed", **overall}
    ]


def a_signal(name: str) -> ItemResult:
    session_id = UUID(int=8)
    began = datetime(2026, 11, 22, 8, tzinfo=UTC)
    given = Signal(
        signal_id=UUID(int=9),
        session_id=session_id,
        consent_record_id=RECORD,
        counter="quay-1",
        window_start=began,
        window_end=began + timedelta(minutes=1),
        image_permitted=True,
        voice_permitted=True,
        overall=Estimate(score=0.25, low=0.0625, high=0.5),
        factors=tuple(
            FactorEstimate(factor=factor, estimate=Estimate(score=0.3, low=0.1, high=0.6), mentions=1)
            for factor in Factor
        ),
        change=Change(delta=-0.45, low=-0.9, high=0.1),
        quality=Quality(face_s=58.0, speech_s=20.0, utterances=6),
        models=(),
        software="test",
    )
    session = SessionResult(RECORD, session_id, "quay-1", State.COMPLETED, given, 100, None)
    return ItemResult(name, "quay-1", RECORD, State.COMPLETED, session)


@pytest.mark.parametrize(
    ("delta", "shown"), [(None, ""), (-0.001, "+0.00"), (0.0, "+0.00"), (0.45, "+0.45"), (-0.5, "-0.50")]
)
def test_change_has_its_sign_and_no_minus_zero(delta: float | None, shown: str) -> None:
    assert _signed(delta) == shown
