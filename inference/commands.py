"""Evaluation commands: `hailong eval expression|detection|anonymiser|transcription|redaction|sentiment|tone`.

Each measures what is shipped on the user's own labelled data; nothing is fitted. Progress
goes to standard error; with `--json`, standard output is exactly one JSON object.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from inference.command_output import Json, bar, explained, print_figures
from inference.detector_option import ListsDetectors
from models.registry import Registry

evaluate = typer.Typer(
    name="eval",
    help="Measure models on evaluation data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@evaluate.command()
def expression(
    *,
    npz: Annotated[Path, typer.Option(help="Face pack: arrays images, labels, person.")],
    model: Annotated[
        str | None, typer.Option(help="Name of another expression network than our own pair.")
    ] = None,
    folds: Annotated[
        bool,
        typer.Option("--folds", help="Also fit a head on the pack, tested on people it never saw."),
    ] = False,
    conditions: Annotated[
        bool,
        typer.Option("--conditions", help="Also measure small, dark, bright, blurred and covered faces."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure an expression network, raw and with its calibration."""
    with explained():
        from inference.evaluation_expression import (  # noqa: PLC0415 - loads the networks
            Asked,
            evaluate_expression,
        )

        with bar("expression", "reading") as progress:
            figures = evaluate_expression(npz, Registry.default(), progress, Asked(model, folds, conditions))
    print_figures(figures, as_json=as_json)


@evaluate.command(cls=ListsDetectors)
def detection(
    *,
    images: Annotated[Path, typer.Option(help="Folder of pictures.")],
    gt: Annotated[Path, typer.Option(help="CSV: image, orig_w, orig_h, x1, y1, x2, y2.")],
    detector: Annotated[
        str | None, typer.Option(help="A detector's name; the best one present if none; 'all' for every one.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Smallest score that counts.")
    ] = None,
    curve: Annotated[bool, typer.Option(help="Also give recall and precision at seven thresholds.")] = False,
    conditions: Annotated[
        bool, typer.Option(help="Also measure dark, noisy, blurred, grey … versions of the pictures.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure a face detector: recall and precision by face height."""
    with explained():
        from inference.evaluation_detection import evaluate_detection  # noqa: PLC0415 - loads the networks

        with bar("detection", "picture") as progress:
            figures = evaluate_detection(
                images,
                gt,
                Registry.default(),
                progress,
                detector=detector,
                threshold=threshold,
                curve=curve,
                conditions=conditions,
            )
    print_figures(figures, as_json=as_json)


@evaluate.command(cls=ListsDetectors)
def anonymiser(
    *,
    video: Annotated[Path | None, typer.Option(help="A recording; or give --npz.")] = None,
    truth: Annotated[Path | None, typer.Option(help="CSV: frame, x1, y1, x2, y2.")] = None,
    result: Annotated[Path | None, typer.Option(help="Judge this result of another program instead.")] = None,
    npz: Annotated[Path | None, typer.Option(help="Face pack: arrays images, person.")] = None,
    attacker: Annotated[
        Path | None, typer.Option(help="With --npz: your own ONNX network that tells faces apart.")
    ] = None,
    style: Annotated[Literal["mask", "drawing"], typer.Option(help="Style of the masks.")] = "mask",
    detector: Annotated[str | None, typer.Option(help="As for `hailong anonymise`.")] = None,
    as_json: Json = False,
) -> None:
    """Measure what masks leave over: leaked frames of a recording, or faces of a pack under attack."""
    if (video is None) == (npz is None):
        raise typer.BadParameter("give either --video or --npz")
    with explained():
        from inference import evaluation_anonymizer, evaluation_attack  # noqa: PLC0415 - loads the networks

        registry = Registry.default()
        with bar("anonymiser", "step") as progress:
            if npz is not None:
                figures = evaluation_attack.evaluate_pack(
                    npz, registry, progress, attacker=attacker, style=style, detector=detector
                )
            else:
                assert video is not None  # noqa: S101 - one of the two was given
                figures = evaluation_anonymizer.evaluate_video(
                    video, registry, progress, truth=truth, result=result, style=style, detector=detector
                )
    print_figures(figures, as_json=as_json)


@evaluate.command(cls=ListsDetectors)
def tracking(
    *,
    video: Annotated[Path, typer.Option(help="A recording.")],
    truth: Annotated[
        Path | None, typer.Option(help="CSV: frame, id, left, top, width, height (as MOTChallenge).")
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="A detector's name; the best one present if none.")
    ] = None,
    detect_hz: Annotated[float, typer.Option(help="Detections in a second of the recording.")] = 4.0,
    read_hz: Annotated[float, typer.Option(help="Readings in a second; above it, faces are followed.")] = 4.0,
    as_json: Json = False,
) -> None:
    """Measure tracking: tracks, calls by track, cost; against a table of people also IDF1."""
    with explained():
        from inference.evaluation_tracking import evaluate_tracking  # noqa: PLC0415 - loads the networks
        from inference.face_config import FaceConfig  # noqa: PLC0415 - as above

        with bar("tracking", "frame") as progress:
            figures = evaluate_tracking(
                video,
                Registry.default(),
                progress,
                truth=truth,
                detector=detector,
                config=FaceConfig(detect_hz=detect_hz, read_hz=read_hz),
            )
    print_figures(figures, as_json=as_json)


@evaluate.command()
def transcription(
    *,
    manifest: Annotated[Path, typer.Option(help="JSON Lines: audio (relative to the file), text.")],
    engine: Annotated[
        str, typer.Option(help="A transcriber's name; 'all' for every one that is installed.")
    ] = "viet-asr",
    threads: Annotated[
        str, typer.Option(help="Threads of the engine, such as 1,2; speed is given each.")
    ] = "1",
    sounds: Annotated[
        float, typer.Option(min=0.0, help="Seconds of each sound without speech; 0 leaves them out.")
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """Measure transcribers: word and character errors, speed, memory, invented words, time to evidence."""
    with explained():
        from inference.evaluation_transcription import (  # noqa: PLC0415 - loads the decoder
            Plan,
            measure,
            thread_counts,
        )

        with bar("transcription", "clip") as progress:
            figures = measure(
                manifest,
                Registry.default(),
                engine,
                Plan(threads=thread_counts(threads), sounds_s=sounds),
                progress,
            )
    print_figures(figures, as_json=as_json)


@evaluate.command()
def roles(
    *,
    manifest: Annotated[
        Path | None, typer.Option(help="JSON Lines: audio (two channels), turns or reference (RTTM, JSON).")
    ] = None,
    mix: Annotated[
        Path | None, typer.Option(help="JSON Lines: audio, speaker. Simulates counters of these clips.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=50, help="With --mix: dialogues of each kind.")] = 3,
    one_channel: Annotated[
        Literal["none", "clusters", "pyannote"],
        typer.Option(help="Also read the first channel alone with this diariser."),
    ] = "none",
    as_json: Json = False,
) -> None:
    """Measure who is said to speak: right names, dropped as unsure, officer taken for the citizen."""
    if (manifest is None) == (mix is None):
        raise typer.BadParameter("give either --manifest or --mix")
    with explained():
        from inference import evaluation_role_sets  # noqa: PLC0415 - loads the networks
        from models.one_channel_diarisers import load_diariser  # noqa: PLC0415 - as above
        from models.voice_activity import load_voice_activity  # noqa: PLC0415 - as above

        registry = Registry.default()
        network = load_voice_activity(registry)
        diariser = None if one_channel == "none" else load_diariser(one_channel, registry, network)
        with bar("roles", "step") as progress:
            if mix is not None:
                figures = evaluation_role_sets.run_mix(
                    mix, network.stream, diariser, progress, seeds=range(1, seeds + 1)
                )
            else:
                assert manifest is not None  # noqa: S101 - one of the two was given
                figures = evaluation_role_sets.run_manifest(manifest, network.stream, diariser, progress)
    print_figures(figures, as_json=as_json)


@evaluate.command("voice-activity")
def voice_activity(
    *,
    manifest: Annotated[
        Path | None, typer.Option(help="JSON Lines: audio, speech ([[start, end], …] in seconds).")
    ] = None,
    mix: Annotated[
        Path | None, typer.Option(help="JSON Lines: audio. Puts these clean clips into six kinds of noise.")
    ] = None,
    noise_s: Annotated[
        float, typer.Option(min=5.0, max=600.0, help="With --mix: seconds of each noise.")
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """Measure voice activity: false alarms and misses, of the network and behind the gates."""
    if (manifest is None) == (mix is None):
        raise typer.BadParameter("give either --manifest or --mix")
    with explained():
        from inference import evaluation_voice_activity  # noqa: PLC0415 - loads the decoder
        from models.voice_activity import load_voice_activity  # noqa: PLC0415 - loads the network

        network = load_voice_activity(Registry.default())
        with bar("voice-activity", "sound") as progress:
            if mix is not None:
                figures = evaluation_voice_activity.run_mix(mix, network.stream, progress, noise_s=noise_s)
            else:
                assert manifest is not None  # noqa: S101 - one of the two was given
                figures = evaluation_voice_activity.run_manifest(manifest, network.stream, progress)
    print_figures(figures, as_json=as_json)


@evaluate.command()
def redaction(
    *,
    manifest: Annotated[
        Path, typer.Option(help="JSON Lines: text, spans (start, end, kind); or .txt with [kind words].")
    ],
    without_numbers: Annotated[
        bool, typer.Option("--without-numbers", help="Leave number words unread: the control that fails.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure redaction: recall by kind, words lost without reason, time."""
    with explained():
        from inference.evaluation_redaction import run  # noqa: PLC0415 - reads the name lists

        with bar("redaction", "sentence") as progress:
            figures = run(manifest, spoken_numbers=not without_numbers, progress=progress)
    print_figures(figures, as_json=as_json)


@evaluate.command()
def sentiment(
    *,
    manifest: Annotated[
        list[Path],
        typer.Option(
            help="JSON Lines: text, sentiment, optional factor; or .txt of our corpus. "
            "Several: each as it is, and misheard as well where --noise is given."
        ),
    ],
    noise: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the words to mishear first, such as 0.17.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="The same seed mishears the same words.")] = 0,
    as_json: Json = False,
) -> None:
    """Measure the text model: sentiment and factors, doubt, time, beside the lexicon alone."""
    with explained():
        from inference.evaluation_text import Noise, run, run_sets  # noqa: PLC0415 - loads the text model

        heard, registry = Noise(noise, seed), Registry.default()
        with bar("sentiment", "text") as progress:
            figures = (
                run(manifest[0], registry=registry, noise=heard, progress=progress)
                if len(manifest) == 1
                else run_sets(manifest, registry=registry, noise=heard, progress=progress)
            )
    print_figures(figures, as_json=as_json)


@evaluate.command()
def tone(
    *,
    manifest: Annotated[
        Path, typer.Option(help="JSON Lines: audio, speaker, arousal (low or high) or start (true).")
    ],
    as_json: Json = False,
) -> None:
    """Measure arousal of the voice against each speaker's own start: recall, by speaker, time."""
    with explained():
        from inference.evaluation_tone import run  # noqa: PLC0415 - loads the decoder

        with bar("tone", "recording") as progress:
            figures = run(manifest, progress=progress)
    print_figures(figures, as_json=as_json)
