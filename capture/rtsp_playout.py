"""Play a recording out over RTP, with its own timestamps.

The package's server numbers pictures in decoding order and starts every track at its
own zero, so B-frames and the sound's lead-in would come out at wrong times. Here the
packets keep their presentation times, both tracks share one clock, and a sender report
before the first packet tells the receiver the wall clock of that time line.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import struct
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from weakref import WeakSet

import av
from aio_rtsp_toolkit.server import RtspServer  # type: ignore[import-untyped] # ships no types
from aio_rtsp_toolkit.server_media import MediaSource, extract_nalus  # type: ignore[import-untyped] # ships no types
from aio_rtsp_toolkit.server_session import RtspServerSession  # type: ignore[import-untyped] # ships no types
from aio_sockets import TCPSocket  # type: ignore[import-untyped] # ships no types
from av.packet import Packet
from av.stream import Stream

from capture.container import in_time_order, nanoseconds

_REPORT_INTERVAL_S = 5.0
_CLOSE_LIMIT_S = 1.0
_NTP_EPOCH_S = 2_208_988_800
_SENDER_REPORT = 200
_NS = 1_000_000_000

_log = logging.getLogger(__name__)


class PlayoutServer(RtspServer):  # type: ignore[misc] # its base ships no types
    """The package's server with files by name and our sessions."""

    def __init__(self, files: Mapping[str, Path], *, repeat: bool) -> None:
        """Prepare; `listen` starts."""
        super().__init__(directory=".", session_name="hailong sample counter")
        self.logger = _log
        self.repeat = repeat
        self.held: set[str] = set()
        self.plays: list[tuple[str, ...]] = []
        self._files = files
        self._sessions: set[PlayoutSession] = set()
        self._lines: WeakSet[asyncio.WriteTransport] = WeakSet()
        self._serving: set[asyncio.Task[None]] = set()

    async def listen(self, listener: socket.socket) -> None:
        """Accept clients on a listening socket."""
        self._server = await asyncio.start_server(self._accept, sock=listener)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: one that is cancelled before its first step would leave the line open.
        self._lines.add(writer.transport)
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = PlayoutSession(self, TCPSocket(reader, writer))
        self._sessions.add(session)
        try:
            await session.run()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            _log.debug("An RTSP client went away.")
        finally:
            self._sessions.discard(session)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def end(self, *, abort: bool) -> None:
        """Stop listening and end all sessions."""
        if self._server is not None:
            # asyncio drops a connection half made when its server closes under it: let those settle first.
            for listener in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
            await _rounds()
            self._server.close()
        if not abort:
            for session in tuple(self._sessions):
                with suppress(TimeoutError):  # a client that no longer reads must not keep the others waiting
                    await asyncio.wait_for(session.close(), _CLOSE_LIMIT_S)
        self._abort_lines()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._abort_lines()  # those that a cancelled session left half closed
        # Aborted transports let their sockets go in the next rounds.
        await _rounds()

    def _abort_lines(self) -> None:
        for line in tuple(self._lines):
            line.abort()

    def resolve_request_path(self, uri: str) -> Path:
        """Find the file of an address; the package answers 404 where there is none."""
        name = unquote(urlsplit(uri).path.strip("/"))
        if name not in self._files:
            raise FileNotFoundError(name)
        return self._files[name]

    def load_media_source(self, file_path: Path) -> Playout:
        """Read what a file holds; a stream that ends says how long it is."""
        found = super().load_media_source(file_path)
        with av.open(file_path) as container:
            length_us = 0 if self.repeat else container.duration or 0
        return Playout(found.file_path, found.tracks, found.session_name, length_us / 1_000_000)


class Playout(MediaSource):  # type: ignore[misc] # its base ships no types
    """What is played: a receiver can tell its end from a broken line by the stated length."""

    def __init__(self, file_path: Path, tracks: list[Any], session_name: str, length_s: float) -> None:
        """Take the package's description and the length; 0 is endless."""
        super().__init__(file_path=file_path, tracks=tracks, session_name=session_name)
        self._length_s = length_s

    def build_sdp(self) -> str:
        """Describe the session, with its length."""
        described = str(super().build_sdp())
        return described.replace(
            "a=range:npt=0-", f"a=range:npt=0-{self._length_s:.3f}" if self._length_s else "a=range:npt=now-"
        )


class PlayoutSession(RtspServerSession):  # type: ignore[misc] # its base ships no types
    """One client's session."""

    def __init__(self, server: PlayoutServer, sock: TCPSocket) -> None:
        """Begin with nothing set up."""
        super().__init__(server, sock)
        self._zero_ns = 0
        self._zero_monotonic_ns = 0
        self._origins: dict[str, int] = {}
        self._reported_ns: dict[str, int] = {}

    async def _handle_play(self, req_headers: dict[str, str]) -> None:
        session = req_headers.get("session", "").split(";", 1)[0]
        playing = [state for state in self.track_states.values() if state.rtp_channel is not None]
        if self.media_source is None or session != self.session_id:
            await self._send_response(req_headers, 454, "Session Not Found")
            return
        if not playing:
            await self._send_response(req_headers, 455, "Method Not Valid In This State")
            return
        await self._stop_streaming()
        self._reset_stream_state()
        # Random and never zero: receivers take a zero for "not known yet".
        self._origins = {state.info.control: secrets.randbelow(2**31) + 2**20 for state in playing}
        info = ",".join(
            f"url={self.content_base}{control};seq=1;rtptime={origin}"
            for control, origin in self._origins.items()
        )
        answer = {"Session": self._session_header_value(), "Range": "npt=0.000-", "RTP-Info": info}
        await self._send_response(req_headers, 200, "OK", answer)
        self.server.plays.append(tuple(state.info.media_type for state in playing))
        self.stream_task = asyncio.create_task(self._stream_media(), name=f"rtsp-stream-{self.session_id}")

    async def _stream_media(self) -> None:
        states = {
            state.info.av_stream_index: state
            for state in self.track_states.values()
            if state.rtp_channel is not None
        }
        try:
            async for packet, shift_ns in self._timed_packets(tuple(states)):
                state = states[packet.stream_index]
                if state.info.media_type not in self.server.held:
                    await self._send_packet(state, packet, shift_ns)
            await self._send_rtcp_bye()
            await self._close_transport()
        except OSError:
            _log.debug("An RTSP client went away while it was served.")

    async def _timed_packets(self, indices: tuple[int, ...]) -> AsyncIterator[tuple[Packet[Stream], int]]:
        """Give each packet when it is due, with the shift of its round."""
        shift_ns = lag_ns = 0
        started = False
        while True:
            end_ns = 0
            with av.open(self.media_source.file_path) as container:
                wanted = [container.streams[index] for index in indices]
                for packet in in_time_order(container.demux(wanted), len(wanted)):
                    due_ns = nanoseconds(packet.dts, packet.time_base)
                    pts_ns = nanoseconds(packet.pts, packet.time_base)
                    if packet.size == 0 or due_ns is None or pts_ns is None:
                        continue
                    if not started:
                        started = True
                        # Pictures leave later than they were "captured", as from an encoder.
                        lag_ns = max(0, -due_ns)
                        self._zero_monotonic_ns, self._zero_ns = time.monotonic_ns(), time.time_ns()
                        await self._report_all()
                    if shift_ns and pts_ns < 0:
                        # The sound's lead-in belongs to the first round; later it would overlap.
                        continue
                    end_ns = max(end_ns, pts_ns + (nanoseconds(packet.duration, packet.time_base) or 0))
                    at_ns = self._zero_monotonic_ns + lag_ns + shift_ns + due_ns
                    await asyncio.sleep(max(0, at_ns - time.monotonic_ns()) / _NS)
                    yield packet, shift_ns
            shift_ns += end_ns
            if not self.server.repeat or end_ns == 0:
                return

    async def _send_packet(self, state: Any, packet: Packet[Stream], shift_ns: int) -> None:  # noqa: ANN401 - the package ships no types
        pts_ns = nanoseconds(packet.dts if packet.pts is None else packet.pts, packet.time_base) or 0
        timestamp = self._timestamp(state, shift_ns + pts_ns)
        data = bytes(packet)
        if state.info.media_type == "video":
            payloads = self._video_payloads(state, data, keyframe=packet.is_keyframe)
        else:
            # RFC 3640: 16 bits of header lengths, then the size (13 bits) of the one access unit.
            payloads = [(struct.pack("!HH", 16, len(data) << 3) + data, 1)]
        for payload, marker in payloads:
            await self._send_rtp_packet(state, payload, timestamp=timestamp, marker=marker)

    def _video_payloads(self, state: Any, data: bytes, *, keyframe: bool) -> list[tuple[bytes, int]]:  # noqa: ANN401 - the package ships no types
        units = extract_nalus(state.info.codec_name, data, state.info.nal_length_size)
        if keyframe:
            units = [*state.info.parameter_sets.values(), *units]
        payloads: list[tuple[bytes, int]] = []
        for index, unit in enumerate(units):
            marker = int(index == len(units) - 1)
            payloads += self._packetize_video_nalu(unit, marker=marker, codec_name=state.info.codec_name)
        return payloads

    def _timestamp(self, state: Any, media_ns: int) -> int:  # noqa: ANN401 - the package ships no types
        ticks = round(media_ns * state.info.clock_rate / _NS)
        return int(self._origins[state.info.control] + ticks) & 0xFFFFFFFF

    async def _maybe_send_rtcp_sr(self, state: Any) -> None:  # noqa: ANN401 - the package ships no types
        since_ns = time.monotonic_ns() - self._reported_ns[state.info.control]
        if since_ns >= _REPORT_INTERVAL_S * _NS:
            await self._report(state)

    async def _report_all(self) -> None:
        for state in self.track_states.values():
            if state.rtp_channel is not None:
                await self._report(state)

    async def _report(self, state: Any) -> None:  # noqa: ANN401 - the package ships no types
        """Send a sender report: this moment on the wall clock and on the track's clock."""
        now_ns = time.monotonic_ns()
        self._reported_ns[state.info.control] = now_ns
        media_ns = now_ns - self._zero_monotonic_ns
        seconds, rest_ns = divmod(self._zero_ns + media_ns, _NS)
        report = struct.pack(
            "!BBHIIIIII",
            0x80,
            _SENDER_REPORT,
            6,
            state.ssrc,
            (seconds + _NTP_EPOCH_S) & 0xFFFFFFFF,
            (rest_ns << 32) // _NS,
            self._timestamp(state, media_ns),
            state.packet_count & 0xFFFFFFFF,
            state.octet_count & 0xFFFFFFFF,
        )
        with suppress(ConnectionError):
            await self._send_interleaved_frame(state.rtcp_channel, report)


async def _rounds(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)
