"""A fault is told by type and place: what a foreign message quotes may be the citizen's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from capture.errors import SourceLost
from capture.faults import exception_without_words, named
from inference.signal import Estimate

CANARY = "canary-7391"


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause  # noqa: TRY301 - as above
    except BaseException as caught:  # noqa: BLE001 - the test wants it with its trace
        return caught


def test_a_foreign_error_is_named_by_type_and_place() -> None:
    error = raised(ValueError(CANARY))
    assert named(error).startswith("ValueError at test_faults.py:")
    assert named(ValueError(CANARY)) == "ValueError"


def test_our_own_errors_keep_their_words() -> None:
    assert named(SourceLost("the camera broke off")) == "SourceLost: the camera broke off"


def test_a_validation_error_quotes_its_input_and_the_log_does_not() -> None:
    with pytest.raises(ValidationError) as caught:
        Estimate.model_validate({"score": CANARY, "low": 0, "high": 1})
    assert CANARY in str(caught.value)  # why this module exists
    event = exception_without_words(None, "error", {"event": "x", "exc_info": caught.value})
    assert CANARY not in str(event)
    assert "ValidationError" in event["exception"]


@pytest.mark.parametrize("form", ["error", "tuple", "flag"])
def test_every_error_of_a_chain_loses_its_words(form: str) -> None:
    error = raised(RuntimeError(CANARY), raised(KeyError(CANARY)))
    given = {"error": error, "tuple": (type(error), error, error.__traceback__), "flag": True}[form]
    try:
        raise error
    except RuntimeError:
        event = exception_without_words(None, "error", {"event": "x", "exc_info": given})
    assert "exc_info" not in event
    assert CANARY not in event["exception"]
    assert ("RuntimeError" in event["exception"], "KeyError" in event["exception"]) == (True, True)


def test_an_event_without_an_error_stays_as_it_is() -> None:
    assert exception_without_words(None, "info", {"event": "x"}) == {"event": "x"}


_DUMPER = """
import os, sys
from capture.faults import leave_no_core_file
import resource
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
if sys.argv[1] == "guarded":
    leave_no_core_file()
print(resource.getrlimit(resource.RLIMIT_CORE)[0], flush=True)
os.abort()
"""


def test_an_abort_leaves_no_core_file(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(
        [sys.executable, "-c", _DUMPER, "guarded"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == -6
    assert int(ran.stdout) in {0, 1}
    assert list(tmp_path.iterdir()) == []
