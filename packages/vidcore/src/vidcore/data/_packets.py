"""The packets of one video stream: demuxed once, kept where they are small, else read again by seeking."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.bitstream import BitStreamFilterContext
from av.packet import Packet

from ._bitstream import (
    MPEG4_NOT_CODED_BYTES,
    h264_starts,
    hevc_picture,
    hevc_starts,
    hevc_unreferenced,
    mpeg4_vop,
    nal_length_size,
    vp8_shown,
    vp9_shown,
)
from ._failure import DAMAGED, VideoError
from ._open import check_declared, open_stream
from ._structure import Survey, survey, wrong_checksum
from .limits import FRAMES

# Compressed clips of a few minutes fit; an hour of film does not and is read twice instead.
KEEP_BYTES = 32 * 2**20
MPEG4 = "mpeg4"


class PacketRecord(NamedTuple):
    """What the index needs to know about one packet, in decode order. A tuple: a film has hundreds of thousands."""

    pts: int | None
    dts: int | None
    duration: int
    size: int
    starts: bool
    """Decoding may start here."""
    shows: bool
    """The decoder shows a frame for it."""
    unsure: bool
    """Only decoding tells whether it shows a frame."""
    bidirectional: bool
    """An MPEG-4 B picture: shown at once, while other pictures wait for the next one."""
    skippable: bool
    """The decoder may be told to skip it when its frame is not wanted and nothing refers to it."""
    corrupt: bool


class PacketSource:
    """Packets of the best video stream, in decode order.

    Attributes:
        demuxed: Packets with content that the container gave, before any filter.
        empty: Packets without content, which stand for pictures left out.
        read_to: Where the last of them ends in the file, in bytes.
    """

    def __init__(self, path: str | os.PathLike[str], keep_bytes: int = KEEP_BYTES, gpu: int | None = None) -> None:
        """Open the file; nothing is demuxed yet."""
        self.path = Path(path)
        declared = check_declared(self.path)
        self.container, self.stream = open_stream(path, gpu)
        self.codec: str = self.stream.codec_context.codec.canonical_name
        self.decoder = self.stream.codec_context
        self._keep_bytes = keep_bytes
        self._kept: list[Packet[Any]] | None = []
        self._records: list[PacketRecord] | None = None
        self._survey: Survey | None = declared
        self.demuxed = self.empty = self.read_to = 0

    def close(self) -> None:
        """Close the file and forget the packets."""
        self._kept = None
        self.container.close()

    @property
    def records(self) -> list[PacketRecord]:
        """One record a packet; the first access reads the file."""
        if self._records is None:
            self._records = self._scan()
        return self._records

    @property
    def survey(self) -> Survey:
        """What the container says about its own end; the first access walks the file's parts."""
        if self._survey is None:
            try:
                self._survey = survey(self.path, self.container.format.name)
            except OSError as error:
                raise VideoError(self.path, "demux", error.strerror or str(error), DAMAGED) from error
        return self._survey

    def check_sums(self) -> None:
        """Compare the checksums that the container keeps with the file, reading all of it.

        Raises:
            VideoError: One differs.
        """
        try:
            fault = wrong_checksum(self.path, self.container.format.name)
        except OSError as error:
            fault = error.strerror or str(error)
        if fault is not None:
            raise VideoError(self.path, "demux", fault, DAMAGED)

    def packets(self, first: int = 0) -> Iterator[tuple[int, Packet[Any]]]:
        """``(position, packet)`` from position ``first`` on, in decode order."""
        records = self.records
        kept = self._kept
        if kept is not None:
            for position in range(first, len(kept)):
                yield position, kept[position]
            return
        for position, packet in self._read_again(first):
            if position >= len(records):
                return
            if packet.size != records[position].size:
                raise VideoError(self.path, "demux", f"packet {position} changed since the file was opened", DAMAGED)
            if position >= first:
                yield position, packet

    def _demux(self) -> Iterator[Packet[Any]]:
        # XviD and DivX pack a P and a B picture into one packet followed by an empty one; FFmpeg's own filter makes
        # it one picture a packet, so that packets and frames can be counted.
        unpack = BitStreamFilterContext("mpeg4_unpack_bframes", self.stream) if self.codec == MPEG4 else None
        for packet in self.container.demux(self.stream):
            if packet.size == 0:
                self.empty += packet.dts is not None
                continue
            self.demuxed += 1
            self.read_to = max(self.read_to, (packet.pos or 0) + packet.size)
            if unpack is None:
                yield packet
            else:
                yield from unpack.filter(packet)

    def _scan(self) -> list[PacketRecord]:
        length_size = nal_length_size(self.codec, self.decoder.extradata)
        records: list[PacketRecord] = []
        layers: list[int] = []
        kept_bytes = 0
        most = FRAMES.value
        self.demuxed = self.empty = self.read_to = 0
        try:
            for packet in self._demux():
                record, layer = self._record(packet, length_size)
                if len(records) == most:
                    raise VideoError(
                        self.path, "demux", f"it holds more than {most:,} frames, the most that are read",
                        FRAMES.advice(10 * most),
                    )  # fmt: skip
                records.append(record)
                layers.append(layer)
                kept_bytes += record.size
                if kept_bytes > self._keep_bytes:
                    self._kept = None
                if self._kept is not None:
                    self._kept.append(packet)
        except av.error.MemoryError as error:
            raise VideoError(
                self.path, "demux", f"after {len(records)} packets its index names one of impossible size", DAMAGED
            ) from error
        except (av.FFmpegError, OSError) as error:
            raise VideoError(
                self.path, "demux", f"after {len(records)} packets: {error.strerror or error}", DAMAGED
            ) from error
        if self.codec == "hevc" and records:
            # "Unreferenced" holds within a temporal layer only: higher layers may refer to it, the highest has none.
            highest = max(layers)
            records = [
                r if layer == highest else r._replace(skippable=False) for r, layer in zip(records, layers, strict=True)
            ]
        return records

    def _record(self, packet: Packet[Any], length_size: int) -> tuple[PacketRecord, int]:
        starts, shows, unsure, bidirectional, layer = packet.is_keyframe, not packet.is_discard, False, False, 0
        skippable = self.codec in SKIPS_EXACTLY
        if self.codec == "h264":
            starts = starts and h264_starts(bytes(packet), length_size)
        elif self.codec == "hevc":
            picture = hevc_picture(bytes(packet), length_size)
            starts = picture is not None and hevc_starts(picture[0])
            skippable = picture is not None and hevc_unreferenced(picture[0])
            layer = picture[1] if picture else 0
            unsure = picture is None
        elif self.codec == MPEG4:
            vop = mpeg4_vop(bytes(packet))
            starts, bidirectional = vop == "I", vop == "B"
            shows = shows and vop is not None
            unsure = vop is not None and packet.size <= MPEG4_NOT_CODED_BYTES
        elif self.codec == "vp8":
            shows = shows and vp8_shown(bytes(packet))
        elif self.codec == "vp9":
            shows = shows and vp9_shown(bytes(packet))
        record = PacketRecord(
            packet.pts, packet.dts, packet.duration or 0, packet.size, starts, shows, unsure, bidirectional, skippable,
            packet.is_corrupt,
        )  # fmt: skip
        return record, layer

    def _read_again(self, first: int) -> Iterator[tuple[int, Packet[Any]]]:
        records = self.records
        start = records[first].dts if first else None
        marks = {(record.pts, record.dts, record.size): position for position, record in enumerate(records)}
        if start is not None and len(marks) == len(records):
            self.container.seek(start, stream=self.stream, backward=True)
            demuxed = self._demux()
            for packet in demuxed:
                position = marks.get((packet.pts, packet.dts, packet.size))
                if position is None or position > first:
                    break  # the container's own index led past the place, or into the middle of a packet
                if position == first:
                    yield position, packet
                    yield from enumerate(demuxed, first + 1)
                    return
        self._reopen()
        yield from enumerate(self._demux())

    def _reopen(self) -> None:
        self.container.close()
        self.container, self.stream = open_stream(self.path)


# Decoders that can be told, packet by packet, to skip a picture nothing refers to, and stay exact (tested).
SKIPS_EXACTLY = frozenset({"h264", "hevc", MPEG4, "mpeg1video", "mpeg2video", "vp8"})
