from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest

from capture.address import parse_address
from capture.camera import RtspCamera, UsbCamera
from capture.container import Opening
from capture.errors import DeviceMissing, NoAudioTrack, SourceAddressError, SourceUnavailable
from capture.live import LiveSource
from capture.rtsp_server import RtspMediaServer
from consent.purpose import Purpose

IMAGE, VOICE = frozenset({Purpose.IMAGE}), frozenset({Purpose.VOICE})


def opening(source: LiveSource, purposes: frozenset[Purpose]) -> Opening:
    return source._opening(purposes)


def test_a_missing_camera_says_which_there_are(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    (tmp_path / "video2").touch()
    camera = UsbCamera(parse_address("v4l2:/dev/video9"), devices=tmp_path)
    with pytest.raises(
        DeviceMissing, match=rf"no camera /dev/video9\. Cameras here: {tmp_path}/video0, {tmp_path}/video2\."
    ):
        camera.open(IMAGE)
    assert "no camera" in camera.health().last_error


def test_no_camera_at_all(tmp_path: Path) -> None:
    with pytest.raises(DeviceMissing, match=r"Cameras here: none\. Plug the camera in"):
        UsbCamera(parse_address("v4l2:/dev/video9"), devices=tmp_path).open(IMAGE)


def test_something_that_is_no_camera(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.write_bytes(b"no camera")
    with pytest.raises(SourceUnavailable, match=rf"v4l2:{device} cannot be opened"):
        UsbCamera(parse_address(f"v4l2:{device}"), devices=tmp_path).open(IMAGE)


def test_usb_options_become_those_of_ffmpeg() -> None:
    camera = UsbCamera(parse_address("v4l2:/dev/video0?size=640x480&fps=15&format=mjpeg"))
    how = opening(camera, IMAGE)
    assert (how.target, how.format) == ("/dev/video0", "v4l2")
    assert {
        "video_size": "640x480",
        "framerate": "15",
        "input_format": "mjpeg",
        "timestamps": "abs",
    }.items() <= how.options.items()


@pytest.mark.parametrize(
    ("purposes", "media"), [(IMAGE, "video"), (VOICE, "audio"), (IMAGE | VOICE, "video+audio")]
)
def test_only_permitted_kinds_are_asked_of_the_camera(purposes: frozenset[Purpose], media: str) -> None:
    how = opening(RtspCamera(parse_address("rtsp://cam/1")), purposes)
    assert how.options["allowed_media_types"] == media
    assert how.options["rtsp_transport"] == "tcp"
    assert how.timeout_s == (3.0, 2.0)


def test_the_camera_sends_only_what_is_permitted(flash_clip: Path) -> None:
    with RtspMediaServer({"counter": flash_clip}) as server:
        camera = RtspCamera(parse_address(server.url("counter")))
        for purposes in (VOICE, IMAGE):
            device = camera.open(purposes)
            unit = device.read()
            device.close()
            assert unit is not None
            assert {unit.purpose} == purposes
        assert server.plays == (("audio",), ("video",))
        assert camera.health().frames > 0


def test_a_camera_without_sound_says_so(tmp_path: Path, flash_clip: Path) -> None:
    import av  # noqa: PLC0415 - only this test makes a file

    silent = tmp_path / "silent.mp4"
    with av.open(str(flash_clip)) as inp, av.open(str(silent), "w") as out:
        copy = out.add_stream_from_template(inp.streams.video[0])
        for packet in inp.demux(inp.streams.video[0]):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    with RtspMediaServer({"silent": silent}) as server:
        address = parse_address(server.url("silent"))
        with pytest.raises(NoAudioTrack, match="has no sound"):
            RtspCamera(address).open(IMAGE | VOICE)
        device = RtspCamera(address, missing_track_ok=True).open(IMAGE | VOICE)
        assert device.read() is not None
        device.close()


def test_an_unknown_stream_is_refused_by_the_server(flash_clip: Path) -> None:
    with RtspMediaServer({"counter": flash_clip}) as server:
        camera = RtspCamera(parse_address(server.url("counter") + "x"))
        with pytest.raises(SourceUnavailable, match="404"):
            camera.open(IMAGE)


@pytest.mark.parametrize(
    "address",
    ["rtsp://officer:hunter2@127.0.0.1:{}/1", "rtsp://127.0.0.1:{}/1?password=hunter2&user=officer"],
)
def test_credentials_appear_nowhere(
    address: str, unused_port: int, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    camera = RtspCamera(parse_address(address.format(unused_port)))
    with pytest.raises(SourceUnavailable, match="cannot be opened") as caught:
        camera.open(IMAGE)
    printed = capsys.readouterr()
    said = "".join(traceback.format_exception(caught.value)) + caplog.text + printed.out + printed.err
    said += f"{camera.address}{camera.describe()}{camera.health()}"
    assert "hunter2" not in said
    assert "officer" not in said


@pytest.mark.parametrize("kind", [RtspCamera, UsbCamera])
def test_a_camera_wants_its_own_kind_of_address(kind: type) -> None:
    with pytest.raises(SourceAddressError, match="is not a"):
        kind(parse_address("alsa:hw:0"))
