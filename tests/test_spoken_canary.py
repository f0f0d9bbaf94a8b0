"""No word of what was said is on disk: in mid-session, after it, and after the program's end."""

from __future__ import annotations

from pathlib import Path

from tests.spoken_steps import RECORDING, session, spoken

_ENCODINGS = ("utf-8", "utf-16-le", "utf-32-le")


def hits(folder: Path, texts: frozenset[str]) -> list[str]:
    """Return which texts are in which file below a folder, names included."""
    needles = {text: [text.encode(code) for code in _ENCODINGS] for text in texts}
    found = []
    for path in folder.rglob("*"):
        data = str(path).encode() + (path.read_bytes() if path.is_file() else b"")
        found += [f"{path}: {text}" for text, codes in needles.items() if any(code in data for code in codes)]
    return found


def test_no_word_of_a_spoken_session_is_on_disk(tmp_path: Path) -> None:
    with session(tmp_path, RECORDING) as edge:
        edge.step("ready")
        # The notice that the citizen was shown lies in the log of consents: its words are no transcript.
        shown = {found.rpartition(": ")[2] for found in hits(tmp_path, spoken(RECORDING))}
        words = spoken(RECORDING) - shown
        assert len(words) >= 20, "there are words to look for"
        edge.go_on()
        edge.step("heard")
        assert hits(tmp_path, words) == [], "in mid-session"
        edge.go_on()
        assert int(edge.step("over")) >= 3
        assert hits(tmp_path, words) == [], "after the session"
        edge.go_on()
    assert hits(tmp_path, words) == [], "after the end"
    for code in _ENCODINGS:  # the control: the search finds words where there are any
        (tmp_path / "tmp" / "control").write_bytes(min(words).encode(code))
        assert hits(tmp_path, words)


def test_the_search_reads_names_too(tmp_path: Path) -> None:
    (tmp_path / "tôi không hài lòng").touch()
    assert len(hits(tmp_path, frozenset({"không hài", "hài lòng"}))) == 2
    assert hits(tmp_path, frozenset({"rất tốt"})) == []
