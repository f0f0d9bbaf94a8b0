"""Aiming a camera without a citizen: logged first, bounded, the picture alone, masked, for no analysis."""

from __future__ import annotations

import ast
import copy
import pickle
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from consent.entry import (
    LONGEST_MAINTENANCE_S,
    EntryKind,
    MaintenanceEnd,
    MaintenanceEnded,
    MaintenanceStarted,
    body_of,
)
from consent.errors import (
    EntryRefused,
    LedgerCorrupt,
    LedgerUnavailable,
    NotPermitted,
    TransitionRefused,
    UnpermittedUnit,
)
from consent.life import Course
from consent.maintenance import IMAGE_ONLY, Maintenance, MaskedPicture
from consent.purpose import Purpose
from setup.layout import ROOT
from tests.consent.citizens import ALL_GIVEN, citizen

if TYPE_CHECKING:
    from pathlib import Path

    from consent.ledger import ConsentStore
    from tests.consent.citizens import Clocks

CLEAR = "a face"


class Shot:
    """A unit of a camera."""

    def __init__(self, index: int, purpose: Purpose = Purpose.IMAGE) -> None:
        self.purpose, self.captured_ns, self.pixels = purpose, index, f"{CLEAR} {index}"


class Camera:
    """A camera with a microphone that notes what was opened, and what the log held then."""

    def __init__(self, store: ConsentStore, *units: Shot, error: Exception | None = None) -> None:
        self.store, self.units, self.error = store, list(units), error
        self.opened: list[frozenset[Purpose]] = []
        self.log_at_opening: list[str] = []
        self.interrupted = self.closed = 0

    def open(self, purposes: frozenset[Purpose]) -> Camera:
        self.opened.append(purposes)
        self.log_at_opening = kinds(self.store)
        if self.error is not None and not self.units:
            raise self.error
        return self

    def read(self) -> Shot | None:
        if self.units:
            return self.units.pop(0)
        if self.error is not None:
            raise self.error
        return None

    def interrupt(self) -> None:
        self.interrupted += 1

    def close(self) -> None:
        self.closed += 1


class Cover:
    """A masker of words."""

    def anonymize(self, image: str, captured_ns: int) -> str:
        return image.replace(CLEAR, "####") + f"@{captured_ns}"


class Glass:
    """A masker that covers nothing."""

    def anonymize(self, image: Any, captured_ns: int) -> Any:
        return image


def kinds(store: ConsentStore) -> list[str]:
    return [item.kind for item in store.log.entries()]


def ends(store: ConsentStore) -> list[tuple[str, int | None]]:
    entries = [item.entry() for item in store.log.of_kind(EntryKind.MAINTENANCE_ENDED)]
    return [(item.ended_by, item.frames) for item in entries if isinstance(item, MaintenanceEnded)]


def look(store: ConsentStore, camera: Camera, clocks: Clocks, masker: Any = None, **over: Any) -> Maintenance:
    values = {"counter": "quay-1", "operator": "nv-07", "limit_s": 900, **over}
    return Maintenance(store, camera, masker or Cover(), monotonic_ns=clocks.monotonic_ns, **values)


def test_a_look_is_logged_before_the_picture_alone_is_opened(store: ConsentStore, clocks: Clocks) -> None:
    camera = Camera(store, Shot(0), Shot(1))
    with look(store, camera, clocks) as maintenance:
        seen = [picture.pixels for picture in maintenance.pictures()]
    assert camera.log_at_opening == ["genesis", "maintenance-started"]
    assert camera.opened == [IMAGE_ONLY] == [frozenset({Purpose.IMAGE})], "never the microphone"
    assert seen == ["#### 0@0", "#### 1@1"]
    assert camera.closed == 1
    assert ends(store) == [(MaintenanceEnd.DEVICE, 2)]
    started = store.log.of_kind(EntryKind.MAINTENANCE_STARTED)[0].entry()
    assert isinstance(started, MaintenanceStarted)
    assert (started.counter, started.operator, started.limit_s) == ("quay-1", "nv-07", 900)
    assert store.verify().ok


def test_without_an_entry_there_is_no_picture(store: ConsentStore, clocks: Clocks) -> None:
    camera = Camera(store, Shot(0))
    unstarted = look(store, camera, clocks)
    with pytest.raises(NotPermitted, match="nothing is logged"):
        next(unstarted.pictures())
    store.close()
    with pytest.raises(LedgerUnavailable), look(store, camera, clocks):
        pass
    assert camera.opened == []


@pytest.mark.parametrize(
    "wrong",
    [{"limit_s": LONGEST_MAINTENANCE_S + 1}, {"limit_s": 0}, {"operator": "Nguyễn Văn A"}, {"counter": ""}],
    ids=["over-an-hour", "no-time", "no-code", "no-counter"],
)
def test_a_look_that_the_log_refuses_opens_nothing(
    store: ConsentStore, clocks: Clocks, wrong: dict[str, Any]
) -> None:
    camera = Camera(store, Shot(0))
    with pytest.raises(EntryRefused), look(store, camera, clocks, **wrong):
        pass
    assert camera.opened == []
    assert kinds(store) == ["genesis"]


def test_a_look_ends_with_its_time(store: ConsentStore, clocks: Clocks) -> None:
    camera = Camera(store, *map(Shot, range(9)))
    with look(store, camera, clocks, limit_s=60) as maintenance:
        pictures = maintenance.pictures()
        next(pictures)
        assert maintenance.left_s == 60
        clocks.advance(61)
        assert next(pictures, None) is None
        assert maintenance.left_s == 0
    assert ends(store) == [(MaintenanceEnd.TIME, 1)]
    assert camera.interrupted >= 1


def test_the_first_reason_to_stop_counts(store: ConsentStore, clocks: Clocks) -> None:
    with look(store, Camera(store, Shot(0)), clocks) as maintenance:
        maintenance.stop(MaintenanceEnd.UNWATCHED)
        maintenance.stop()
        assert list(maintenance.pictures()) == []
    assert ends(store) == [(MaintenanceEnd.UNWATCHED, 0)]


def test_a_camera_that_breaks_off_says_so_and_is_logged(store: ConsentStore, clocks: Clocks) -> None:
    camera = Camera(store, Shot(0), error=OSError("gone"))
    with pytest.raises(OSError, match="gone"), look(store, camera, clocks) as maintenance:
        list(maintenance.pictures())
    assert ends(store) == [(MaintenanceEnd.DEVICE, 1)]
    with (
        pytest.raises(OSError, match="no camera"),
        look(store, Camera(store, error=OSError("no camera")), clocks),
    ):
        pass
    assert ends(store)[1:] == [(MaintenanceEnd.DEVICE, 0)]


def test_a_microphone_is_never_heard(store: ConsentStore, clocks: Clocks) -> None:
    camera = Camera(store, Shot(0, Purpose.VOICE))
    with pytest.raises(UnpermittedUnit), look(store, camera, clocks) as maintenance:
        next(maintenance.pictures())
    assert ends(store) == [(MaintenanceEnd.FAILED, 0)]


def test_a_masker_that_masks_nothing_shows_nothing(store: ConsentStore, clocks: Clocks) -> None:
    with (
        pytest.raises(NotPermitted, match="clear picture"),
        look(store, Camera(store, Shot(0)), clocks, Glass()) as maintenance,
    ):
        next(maintenance.pictures())


def test_a_killed_look_is_closed_as_unfinished(store: ConsentStore, clocks: Clocks) -> None:
    killed = store.maintenance_started("quay-1", "nv-07", 900)
    assert store.unfinished_maintenance() == killed
    store.recover()
    assert store.unfinished_maintenance() is None
    store.maintenance_started("quay-1", "nv-07", 900)
    with look(store, Camera(store), clocks):
        pass
    unfinished = (MaintenanceEnd.UNFINISHED, None)
    assert ends(store) == [unfinished, unfinished, (MaintenanceEnd.STOPPED, 0)]
    assert store.verify().ok
    with pytest.raises(TransitionRefused):
        store.maintenance_ended(killed, MaintenanceEnd.STOPPED, 0)


def test_no_session_starts_while_a_camera_is_aimed(store: ConsentStore) -> None:
    record = citizen()
    store.offer(record)
    store.decide(record.record_id, ALL_GIVEN, "citizen", "kiosk-touch")
    started = store.maintenance_started("quay-1", "nv-07", 900)
    with pytest.raises(TransitionRefused, match="being aimed"):
        store.session_started(record.record_id)
    store.maintenance_ended(started, MaintenanceEnd.STOPPED, 3)
    store.session_started(record.record_id)
    assert store.verify().ok


def test_a_log_in_which_maintenance_does_not_pair_is_corrupt(store: ConsentStore) -> None:
    started = store.maintenance_started("quay-1", "nv-07", 900)
    ended = MaintenanceEnded(started.maintenance_id, "quay-1", "nv-07", started.at, MaintenanceEnd.TIME, 1)
    course = Course()
    course.take(store.log.entry(0).entry())
    with pytest.raises(LedgerCorrupt, match="without having started"):
        course.take(ended)
    course.take(started)
    with pytest.raises(LedgerCorrupt, match="had not ended"):
        course.take(replace(started, maintenance_id=uuid4()))
    with pytest.raises(LedgerCorrupt, match="without having started"):
        course.take(replace(ended, operator="nv-08"))
    course.take(ended)


def test_another_start_in_the_file_is_found_by_the_check(store: ConsentStore) -> None:
    started = store.maintenance_started("quay-1", "nv-07", 900)
    again = replace(started, maintenance_id=uuid4())
    store.log.append(again.kind, body_of(again))
    assert not store.verify().ok


def test_a_masked_picture_is_made_by_nobody_else_and_never_analysed(
    store: ConsentStore, clocks: Clocks
) -> None:
    with look(store, Camera(store, Shot(0)), clocks) as maintenance:
        picture = next(maintenance.pictures())
    for refused in (
        lambda: MaskedPicture(object(), "face", 0),
        lambda: setattr(picture, "pixels", "face"),
        lambda: copy.copy(picture),
        lambda: pickle.dumps(picture),
        lambda: type("Own", (MaskedPicture,), {}),
        lambda: picture.purpose,
        picture.open,
    ):
        with pytest.raises(NotPermitted):
            refused()


def test_no_reader_takes_a_masked_picture_by_its_type(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(
        "from consent.maintenance import MaskedPicture\n"
        "from inference.face_evidence import FaceReader\n"
        "from inference.session import SessionAnalysis\n"
        "from inference.voice_evidence import VoiceReader\n"
        "def show(a: FaceReader, b: VoiceReader, c: SessionAnalysis, picture: MaskedPicture) -> None:\n"
        "    a.see(picture)\n    b.hear(picture)\n    c.take(picture)\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(snippet)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    refused = [line.split(":")[1] for line in run.stdout.splitlines() if "[arg-type]" in line]
    assert refused == ["6", "7", "8"], run.stdout + run.stderr


def test_only_the_preview_knows_this_door() -> None:
    files = [
        file for name in ("capture", "inference", "models", "api") for file in (ROOT / name).rglob("*.py")
    ]
    users = {
        file.stem
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "consent.maintenance"
    }
    assert users <= {"preview"}
