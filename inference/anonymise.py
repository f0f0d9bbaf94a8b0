"""Anonymise a recording, a picture or a folder of pictures; nothing half done is left behind."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from inference.anonymised_picture import SUFFIXES, anonymise_picture
from inference.anonymised_video import anonymise_video
from inference.anonymizer import Anonymizer, AnonymizerConfig
from inference.errors import MediaError, MediaUnreadable, OutputRefused
from inference.face_search import load_face_searches
from inference.output_file import check_output, whole_or_nothing
from inference.recording_writer import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from inference.face_search import FaceSearches
    from models.registry import Registry


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be done.

    Attributes:
        source: A recording, a picture or a folder of pictures.
        target: The result: a file, or a folder where the source is one.
        style: `mask` or `drawing`.
        sound: `drop`, or `keep`; a voice identifies.
        force: Whether a result of an earlier run is replaced.
    """

    source: Path
    target: Path
    style: Literal["mask", "drawing"] = "mask"
    sound: Literal["drop", "keep"] = "drop"
    force: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What was done.

    Attributes:
        figures: One object for `--json`.
        failures: Sentences about files that have no result.
    """

    figures: dict[str, Any]
    failures: tuple[str, ...] = field(default=())


def anonymise(
    request: Request,
    registry: Registry,
    progress: Callable[[int, int], None],
    *,
    detector: str | None = None,
) -> Result:
    """Anonymise what a request names.

    Args:
        request: What is to be done.
        registry: Where detectors are looked up.
        progress: Told how many steps are done, of how many.
        detector: Name of the detector; None takes those that find most.

    Raises:
        MediaError: There is no result; for a folder, only where none could be begun.
        ModelError: A detector is missing or wrong.
    """
    if not request.source.exists():
        raise MediaUnreadable(f"There is nothing at {request.source}. Check the name.")
    if request.source.is_dir():
        return _folder(request, load_face_searches(registry, detector, slow=True), progress)
    _check_kind(request)
    check_output(request.source, request.target, force=request.force)
    searches = load_face_searches(registry, detector, slow=True)
    return Result(_file(request, request.source, request.target, searches, progress))


def _check_kind(request: Request) -> None:
    known = SUFFIXES if request.source.suffix.lower() in SUFFIXES else tuple(FORMATS)
    if request.target.suffix.lower() not in known:
        raise OutputRefused(
            f"The result {request.target} needs one of these suffixes: {', '.join(known)}. "
            "They choose the format."
        )


def _file(
    request: Request,
    source: Path,
    target: Path,
    searches: FaceSearches,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    config = AnonymizerConfig(style=request.style)
    anonymizer = Anonymizer.of(searches, config)
    started = time.perf_counter()
    suffix = target.suffix.lower()
    with whole_or_nothing(target, force=request.force) as stream:
        if source.suffix.lower() in SUFFIXES:
            doubt, share = anonymise_picture(source, stream, suffix, anonymizer)
            progress(1, 1)
            figures: dict[str, Any] = {
                "frames": 1,
                "covered_whole": 0 if doubt is None else 1,
                "by_reason": {} if doubt is None else {doubt.value: 1},
                "painted_share": round(share, 4),
            }
        else:
            report = anonymise_video(
                source,
                stream,
                FORMATS[suffix],
                anonymizer,
                config,
                keep_sound=request.sound == "keep",
                progress=progress,
            )
            figures = {
                "frames": report.frames,
                "covered_whole": report.covered_whole.total(),
                "by_reason": dict(sorted(report.covered_whole.items())),
                "painted_share": round(report.painted_share, 4),
                "sound": report.sound,
                "left_out": dict(sorted(report.left_out.items())),
                "damaged_sound": report.damaged_sound,
            }
    passed_s = time.perf_counter() - started
    return {
        "input": str(source),
        "output": str(target),
        "style": request.style,
        **figures,
        "seconds": round(passed_s, 2),
        "ms_per_frame": round(1000 * passed_s / figures["frames"], 1),
        "detectors": [
            dict(zip(("name", "version", "sha256"), one.version_of(), strict=True))
            for one in (searches.always, searches.closer)
        ],
    }


def _folder(request: Request, searches: FaceSearches, progress: Callable[[int, int], None]) -> Result:
    """Anonymise every picture of a folder; one that fails has no result and is told."""
    pictures = sorted(path for path in request.source.iterdir() if path.suffix.lower() in SUFFIXES)
    if not pictures:
        raise MediaUnreadable(f"{request.source} holds no picture ({', '.join(SUFFIXES)}).")
    if request.target.exists() and request.target.samefile(request.source):
        raise OutputRefused(
            f"{request.target} is the folder to anonymise itself. "
            "Name another: originals are not overwritten."
        )
    if request.target.exists() and not request.target.is_dir():
        raise OutputRefused(f"{request.target} is a file. Name a folder for the results.")
    request.target.mkdir(exist_ok=True)
    done: list[dict[str, Any]] = []
    failures: list[str] = []
    for number, picture in enumerate(pictures, 1):
        target = request.target / picture.name
        try:
            check_output(picture, target, force=request.force)
            done.append(_file(request, picture, target, searches, lambda *_: None))
        except MediaError as error:
            failures.append(str(error))
        progress(number, len(pictures))
    reasons = [reason for one in done for reason in one["by_reason"]]
    figures = {
        "input": str(request.source),
        "output": str(request.target),
        "style": request.style,
        "frames": len(done),
        "covered_whole": len(reasons),
        "by_reason": {reason: reasons.count(reason) for reason in sorted(set(reasons))},
        "failed": len(failures),
        "files": done,
    }
    return Result(figures, tuple(failures))
