"""No word of what was said is in the memory of a process that lives on after a session."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.process_memory import Needles, children, forms, searched
from tests.spoken_steps import HEARD, LONGER, RECORDING, Session, heard, session, spoken

pytestmark = pytest.mark.timeout(900)  # ten to twenty seconds each on a quiet machine


def ready_child(edge: Session) -> int:
    """Wait until the process for the next session has loaded its engine; returns its id."""
    until = time.monotonic() + 120
    while True:
        assert time.monotonic() < until, "no process waits for the next session"
        waiting = [child for child, state in children(edge.process_id).items() if state == "S"]
        if waiting and "vietasr" in Path(f"/proc/{waiting[0]}/maps").read_text("utf-8"):
            return waiting[0]
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("recording", "killed"),
    [
        pytest.param(RECORDING, False, id="as it ends"),
        pytest.param(RECORDING, True, id="with its process killed on the way", marks=pytest.mark.long),
        pytest.param(LONGER, False, id="a longer one", marks=pytest.mark.long),
    ],
)
def test_no_word_of_a_session_is_left_in_memory(tmp_path: Path, recording: Path, *, killed: bool) -> None:
    words = spoken(recording)
    with session(tmp_path, recording) as edge:
        edge.step("ready")
        judge = ready_child(edge)
        distinctive = Needles(words - set(edge.found(Needles(words))))
        edge.go_on()
        edge.step("heard")
        assert len(searched(judge, distinctive)) >= 10, "the control: the session's own process has words"
        assert searched(edge.process_id, distinctive) == {}, "while words are read"
        if killed:
            os.kill(judge, signal.SIGKILL)
        edge.go_on()
        assert int(edge.step("over")) >= 3
        successor = ready_child(edge)
        assert successor != judge
        assert set(children(edge.process_id)) == {successor}, "nothing else lives on, reaped or not"
        assert edge.found(distinctive) == {}, "after the session"
        assert not Path("/proc", str(judge)).exists()
        edge.go_on()
    log = (tmp_path / "log").read_text("utf-8").lower()
    assert [text for text in distinctive.texts if text in log] == []
    assert "traceback" not in log
    assert list(tmp_path.rglob("*core*")) == []


@pytest.mark.long
@pytest.mark.parametrize("recording", [RECORDING, LONGER], ids=lambda path: path.stem)
def test_what_is_searched_is_what_is_heard(recording: Path) -> None:
    assert heard(recording) == HEARD[recording], "write down in tests/spoken_steps.py what is heard now"


@pytest.mark.long
def test_the_search_finds_words_that_were_read_in_the_edge_itself(tmp_path: Path) -> None:
    words = spoken(RECORDING)
    with session(tmp_path, RECORDING, "--in-process") as edge:
        edge.step("ready")
        distinctive = Needles(words - set(searched(edge.process_id, Needles(words))))
        edge.go_on()
        edge.step("heard")
        edge.go_on()
        assert int(edge.step("over")) >= 3
        assert searched(edge.process_id, distinctive), "memory that was freed still holds what it held"
        edge.go_on()


@pytest.mark.parametrize("form", sorted(forms("khiếu nại")))
@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_every_form_is_found_wherever_it_lies(form: bytes, offset: int) -> None:
    needles = Needles(["khiếu nại", "bực mình"])
    assert needles.count(b"\0" * (4 + offset) + form + b"\0" * 8) == {"khiếu nại": 1}
    assert needles.count(b"\0" * (4 + offset) + form[:-1]) == {}


def test_forms_cover_how_a_text_may_be_held() -> None:
    found = forms("thôi nhé")
    assert "thôi nhé".encode("latin-1") in found
    assert "THÔI NHÉ".encode("utf-16-le") in found
    assert "Thôi nhé".encode("utf-32-le") in found
    assert rb"th\u00f4i nh\u00e9" in found
    assert b"tho\xcc\x82i nhe\xcc\x81" in found
