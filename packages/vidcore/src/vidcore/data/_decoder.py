"""Runs the codec over just the packets that wanted frames need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import av
from av.packet import Packet
from av.video.frame import VideoFrame

from ._bitstream import nal_length_size
from ._damage import damage_check
from ._failure import DAMAGED, VideoError
from ._index import FrameTable, table_from_decoding, table_from_packets
from ._packets import PacketSource

# One packet is one picture, and every picture is shown: a packet that gives no frame was damaged.
_ONE_FRAME_A_PACKET = frozenset(
    {"apng", "cinepak", "dnxhd", "dvvideo", "ffv1", "ffvhuff", "flv1", "gif", "h263", "huffyuv", "jpeg2000",
     "magicyuv", "mjpeg", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "png", "prores", "qtrle", "rawvideo", "svq1", "theora",
     "utvideo", "wmv1", "wmv2", "wmv3"}
)  # fmt: skip
# Shorter packets may say that the picture before is shown again, and some decoders then give none.
_PICTURE_BYTES = 16


class FrameDecoder:
    """Decoded frames of one stream by index.

    Attributes:
        frames_decoded: Frames the codec has reconstructed so far, wanted or not.
    """

    def __init__(self, source: PacketSource, threads: int) -> None:
        """Prepare the codec; nothing is decoded yet."""
        self.source = source
        self.frames_decoded = 0
        self._codec = source.decoder
        self._codec.thread_count = threads
        if threads != 1:
            self._codec.thread_type = "AUTO"
        self._table: FrameTable | None = None
        self._turn = 0
        self._marks = False
        self._damage = damage_check(source.codec, nal_length_size(source.codec, self._codec.extradata))

    @property
    def indexed(self) -> bool:
        """Whether the stream has been indexed."""
        return self._table is not None

    @property
    def table(self) -> FrameTable:
        """The index of the stream's frames, made on first use: from the packets, or by decoding where they do not tell.

        Raises:
            VideoError: Packets are missing or damaged, or not one frame can be shown.
        """
        if self._table is None:
            table = table_from_packets(self.source) or self._count_by_decoding()
            if not len(table):
                raise VideoError(self.source.path, "decode", "not one frame of it can be shown", DAMAGED)
            self._table = table
        return self._table

    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """``(index, frame)`` for the frames ``wanted``, sorted and each once.

        Raises:
            VideoError: A wanted frame does not decode, or decodes with errors.
        """
        table = self.table
        if table.sequential:
            yield from self._by_counting(wanted)
            return
        missing = set(wanted)
        for first, last, frames in _runs(table, wanted):
            for index, frame in self._run(first, last, frames):
                missing.discard(index)
                yield index, frame
        if missing:
            # The index said a packet shows a frame and it did not: count instead, which cannot be wrong.
            recount = self._count_by_decoding()
            if len(recount) != len(table):
                raise VideoError(
                    self.source.path, "decode", f"it promises {len(table)} frames and {len(recount)} decode", DAMAGED
                )
            yield from self._by_counting(sorted(missing))

    def _run(self, first: int, last: int, frames: dict[int, int]) -> Iterator[tuple[int, VideoFrame]]:
        """Decode packets ``first`` to ``last`` and yield ``(index, frame)`` for ``frames``, ``{packet: index}``."""
        ticks = self.table.ticks
        # By their times where those tell them apart: carrying a mark through the codec costs up to a tenth of decoding.
        mark_of = _packet_of if ticks is None else _tick_of
        left: dict[int | None, int] = {p if ticks is None else int(ticks[index]): index for p, index in frames.items()}
        turn = self._restart(marks=ticks is None)
        records = self.source.records
        skipping = False
        for position, packet in self.source.packets(first):
            skip = records[position].skippable and position not in frames
            if skip != skipping:
                self._codec.skip_frame = "NONREF" if skip else "DEFAULT"
                skipping = skip
            for frame in self._send(packet, position, turn):
                index = left.pop(mark_of(frame), None)
                if index is not None:
                    yield index, self._sound(frame, index)
            if position == last or not left:
                break
        if left:
            for frame in self._send(None, last, turn):
                index = left.pop(mark_of(frame), None)
                if index is not None:
                    yield index, self._sound(frame, index)

    def _by_counting(self, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Decode from the first packet and recognise frames by their count."""
        left = set(wanted)
        for index, frame in enumerate(self._all()):
            if index in left:
                left.discard(index)
                yield index, self._sound(frame, index)
            if not left:
                return
        if left:
            raise VideoError(self.source.path, "decode", f"frame {min(left)} does not decode", DAMAGED)

    def _count_by_decoding(self) -> FrameTable:
        shown = [(_packet_of(frame), frame.pts) for frame in self._all()]
        if self.source.codec in _ONE_FRAME_A_PACKET:
            given = {packet for packet, _ in shown}
            records = self.source.records
            lost = [
                i for i, record in enumerate(records)
                if record.shows and record.size >= _PICTURE_BYTES and i not in given
            ]  # fmt: skip
            if lost:
                raise VideoError(
                    self.source.path, "decode",
                    f"{len(lost)} of its {len(records)} pictures do not decode, the first is packet {lost[0]}", DAMAGED,
                )  # fmt: skip
        return table_from_decoding(self.source, shown)

    def _all(self) -> Iterator[VideoFrame]:
        turn = self._restart(marks=True)
        position = 0
        for position, packet in self.source.packets():
            yield from self._send(packet, position, turn)
        yield from self._send(None, position, turn)

    def _restart(self, *, marks: bool) -> int:
        self._codec.copy_opaque = self._marks = marks
        if self._codec.is_open:
            self._codec.flush_buffers()
            self._codec.skip_frame = "DEFAULT"
        self._turn += 1
        return self._turn

    def _send(self, packet: Packet[Any] | None, position: int, turn: int) -> list[VideoFrame]:
        if turn != self._turn:
            raise RuntimeError("this reader was asked for other frames meanwhile; use one reader per iteration")
        if self._marks and packet is not None:
            # A tuple: PyAV files such objects under their identity and would confuse equal small integers.
            packet.opaque = (position,)
        if packet is not None and self._damage is not None and (fault := self._damage(bytes(packet))) is not None:
            raise self._undecodable(position, fault)
        try:
            frames = self._codec.decode(packet)
        except av.FFmpegError as error:
            raise self._undecodable(position, error.strerror or str(error)) from error
        self.frames_decoded += len(frames)
        return frames

    def _undecodable(self, position: int, fault: str) -> VideoError:
        return VideoError(
            self.source.path, "decode", f"packet {position} of {len(self.source.records)}: {fault}", DAMAGED
        )

    def _sound(self, frame: VideoFrame, index: int) -> VideoFrame:
        if frame.is_corrupt:
            raise VideoError(self.source.path, "decode", f"frame {index} decodes with errors", DAMAGED)
        return frame


def _packet_of(frame: VideoFrame) -> int | None:
    tag = frame.opaque
    return int(tag[0]) if isinstance(tag, tuple) else None


def _tick_of(frame: VideoFrame) -> int | None:
    return frame.pts


def _runs(table: FrameTable, wanted: Sequence[int]) -> list[tuple[int, int, dict[int, int]]]:
    """Stretches of packets ``(first, last, {packet: frame})`` to decode: per frame from its start, overlaps joined."""
    runs: list[tuple[int, int, dict[int, int]]] = []
    for start, packet, frame in sorted((int(table.start[i]), int(table.packet[i]), i) for i in wanted):
        # A start right after the run before needs no restart, and a container may flag a start wrongly.
        if runs and start <= runs[-1][1] + 1:
            first, last, frames = runs[-1]
            frames[packet] = frame
            runs[-1] = (first, max(last, packet), frames)
        else:
            runs.append((start, packet, {packet: frame}))
    return runs
