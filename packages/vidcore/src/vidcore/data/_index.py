"""Which packet shows which frame, when, and where decoding must begin to get it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ._failure import DAMAGED, VideoError
from ._packets import MPEG4, PacketRecord, PacketSource

# In these containers a packet is one coded picture and carries its time. MPEG-TS and raw streams may begin in the
# middle of a group of pictures, restart their clock or split fields, so they are counted by decoding.
COUNTED_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "gif")
COUNTED_CODECS = frozenset(
    {"h264", "hevc", "av1", "vp8", "vp9", MPEG4, "mjpeg", "png", "gif", "ffv1", "huffyuv", "ffvhuff", "prores",
     "dnxhd", "rawvideo", "utvideo"}
)  # fmt: skip
# Their indexes name every picture, so that fewer packets than entries are a loss.
_INDEXED_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "avi")
# In these every byte up to the end of the file belongs to some frame.
_FRAMES_ONLY = ("yuv4mpegpipe", "dv")
# Half a microsecond: a time computed as k / fps must not miss the frame at k / fps by rounding.
ROUNDING_SECONDS = 5e-7


@dataclass(frozen=True, slots=True)
class FrameTable:
    """The displayable frames of one stream in presentation order; all arrays have one entry a frame.

    Attributes:
        packet: Position (decode order) of the packet that shows the frame.
        start: Position of the packet where decoding may begin at the latest to get the frame exactly.
        times_seconds: Presentation time, the first frame at zero, never decreasing.
        last_duration_seconds: How long the last frame is shown.
        ticks: Presentation time on the stream's own clock, by which the decoder's output can be recognised; ``None``
            where the container's times do not tell.
        sequential: Frames can be told apart only by counting the decoder's output from the first packet.
    """

    packet: NDArray[np.int64]
    start: NDArray[np.int64]
    times_seconds: NDArray[np.float64]
    last_duration_seconds: float
    ticks: NDArray[np.int64] | None = None
    sequential: bool = False

    def __len__(self) -> int:
        """Count the frames."""
        return len(self.packet)

    @property
    def duration_seconds(self) -> float:
        """Seconds from the first frame's start to the last one's end."""
        return float(self.times_seconds[-1]) + self.last_duration_seconds


def segment_bounds(times: NDArray[np.float64], start: float | None, end: float | None) -> tuple[int, int]:
    """First frame of the half-open segment ``[start, end)`` and the one after its last, by the frames' start times."""
    first = 0 if start is None else int(np.searchsorted(times, start - ROUNDING_SECONDS))
    stop = len(times) if end is None else int(np.searchsorted(times, end - ROUNDING_SECONDS))
    return first, stop


def table_from_packets(source: PacketSource) -> FrameTable | None:
    """Index a stream without decoding it; None where only decoding can tell which frames are shown.

    Raises:
        VideoError: Fewer packets are there than the file promises.
    """
    records = source.records
    check_complete(source)
    shown = [i for i, record in enumerate(records) if record.shows]
    if (
        source.container.format.name not in COUNTED_CONTAINERS
        or source.codec not in COUNTED_CODECS
        or not shown
        or any(record.unsure for record in records)
        or not records[0].starts
    ):
        return None
    ticks = _ticks(source)
    if source.codec == MPEG4:
        order = _mpeg4_order(records, shown)
    elif source.container.format.name == "avi" and source.decoder.has_b_frames:
        return None  # AVI stores no presentation times: only MPEG-4's own headers give the order of reordered frames
    else:
        order = sorted(shown, key=lambda i: (ticks[i] is None, ticks[i]))
    chosen = [tick for i in order if (tick := ticks[i]) is not None]
    if len(set(chosen)) != len(order) or _leads(records, ticks, order):
        return None
    # Sorted: MPEG-4's own order is exact where the packets' times are not, and the k-th picture has the k-th time.
    times = sorted(chosen)
    table = _table(source, order, times)
    if source.codec == MPEG4 or source.container.format.name == "avi":
        return table
    return replace(table, ticks=np.asarray(times, dtype=np.int64))


def table_from_decoding(source: PacketSource, shown: list[tuple[int | None, int | None]]) -> FrameTable:
    """Index a stream from one full decode: ``shown`` holds ``(packet position, pts)`` as the decoder gave the frames.

    Frames with the same time keep it. Where the clock restarts (joined MPEG-TS files) it continues one frame after the
    frame before; a single time before its predecessor's is taken for that one's.
    """
    packets = [packet for packet, _ in shown]
    known = [packet for packet in packets if packet is not None]
    sequential = len(set(known)) != len(packets)
    where = list(range(len(packets))) if sequential else known
    if source.container.format.name == "avi" and not sequential:
        slots = _ticks(source)
        return _table(source, where, sorted(slots[packet] or 0 for packet in known))
    ticks = _steady([pts for _, pts in shown], _frame_ticks(source))
    return _table(source, where, ticks, sequential=sequential)


def _steady(stamps: list[int | None], step: int) -> list[int]:
    """Times that never decrease, of time stamps as the decoder gave them."""
    ticks: list[int] = []
    offset = 0
    for place, pts in enumerate(stamps):
        tick = ticks[-1] + step if pts is None and ticks else (pts or 0) + offset
        if ticks and tick < ticks[-1]:
            after = stamps[place + 1] if place + 1 < len(stamps) else None
            if after is None or after + offset <= ticks[-1]:
                offset += ticks[-1] + step - tick
                tick = ticks[-1] + step
            else:
                tick = ticks[-1]
        ticks.append(tick)
    return ticks


def check_complete(source: PacketSource) -> None:
    """Compare what was demuxed with what the container says about its own parts.

    A header's count or duration is no such word: it may count slots, another track, or frames an edit list hides.

    Raises:
        VideoError: No packets, a part of the file that is missing, or fewer packets than its index names.
    """
    records, name = source.records, source.container.format.name
    fault = source.survey.fault or _loss(source, name)
    if not records:
        fault = fault or "its video stream holds no frames"
    elif name != "mpegts" and records[-1].corrupt:
        fault = fault or f"its last packet (of {len(records)}) is cut short"
    if fault is not None:
        raise VideoError(source.path, "demux", fault, DAMAGED)


def _loss(source: PacketSource, name: str) -> str | None:
    """Why packets must have been lost on the way through the demuxer."""
    held = source.demuxed + source.empty
    promised = 0
    if name == "mov,mp4,m4a,3gp,3g2,mj2" and not source.survey.edited:
        promised = source.stream.frames
    if source.survey.pictures is not None:
        promised = source.survey.pictures
    if name in _INDEXED_CONTAINERS and held < len(source.stream.index_entries):
        # Entries of no size stand for pictures left out; AVI's demuxer does not give them.
        held, promised = source.demuxed, sum(1 for entry in source.stream.index_entries if entry.size)
    if held < promised:
        return f"it holds {held} of the {promised} frames its index names"
    if name in _FRAMES_ONLY and source.records:
        size = source.path.stat().st_size
        if size != source.read_to:  # DV's demuxer fills a frame cut short with what was there before
            return f"it is cut short in frame {source.demuxed - (size < source.read_to)}"
    return None


def _ticks(source: PacketSource) -> list[int | None]:
    """When each packet's frame is shown. AVI has one slot a frame and no other time: the k-th shown takes the k-th."""
    if source.container.format.name == "avi":
        return [record.dts for record in source.records]
    if source.codec == MPEG4:
        return [record.dts if record.pts is None else record.pts for record in source.records]
    return [record.pts for record in source.records]


def _leads(records: list[PacketRecord], ticks: list[int | None], order: list[int]) -> bool:
    """Whether frames are shown before the first random access point: cut from a longer file, they may not decode."""
    if records[0].shows:
        return order[0] != 0
    first, start = ticks[order[0]], ticks[0]
    return first is None or start is None or first < start


def _mpeg4_order(records: list[PacketRecord], shown: list[int]) -> list[int]:
    """Presentation order by coding type: a B picture is shown at once, any other when the next such one arrives."""
    order: list[int] = []
    held: int | None = None
    for position in shown:
        if records[position].bidirectional:
            order.append(position)
            continue
        if held is not None:
            order.append(held)
        held = position
    return [*order, held] if held is not None else order


def _frame_ticks(source: PacketSource) -> int:
    """Typical length of one frame in ticks of the stream's clock, at least one."""
    rate, base = source.stream.average_rate or source.stream.guessed_rate, source.stream.time_base
    return max(1, round(1 / (rate * base))) if rate and base else 1


def _table(source: PacketSource, packets: list[int], ticks: list[int], *, sequential: bool = False) -> FrameTable:
    base = source.stream.time_base or Fraction(1)
    elapsed = np.asarray(ticks, dtype=np.int64) - (ticks[0] if ticks else 0)
    # Multiplied before divided: the frame at tick 15 of 30 a second is at 0.5 s, not one rounding beside it.
    times = elapsed * base.numerator / base.denominator
    last = source.records[packets[-1]].duration if packets and not sequential else 0
    position = np.asarray(packets, dtype=np.int64)
    start = np.zeros(len(packets), dtype=np.int64)
    if not sequential:
        start = _starts(source.records, position)
    return FrameTable(position, start, times, float((last or _frame_ticks(source)) * base), sequential=sequential)


def _starts(records: list[PacketRecord], packets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Last random access point that is decoded before each frame and not shown after it.

    The second condition is for open groups of pictures: what is shown before their first picture refers to the
    group before. Discarded packets (edit lists) are never shown; they come first and are placed before all frames.
    """
    rank = np.full(len(records), -1, dtype=np.int64)
    rank[packets] = np.arange(len(packets))
    points = np.asarray([i for i, record in enumerate(records) if record.starts and (rank[i] >= 0 or not record.shows)])
    if not len(points):
        return np.zeros(len(packets), dtype=np.int64)
    at = np.searchsorted(points, packets, side="right") - 1
    for frame in np.flatnonzero((at >= 0) & (rank[points[at]] > np.arange(len(packets)))):
        while at[frame] >= 0 and rank[points[at[frame]]] > frame:
            at[frame] -= 1
    return np.where(at >= 0, points[at], 0).astype(np.int64)
