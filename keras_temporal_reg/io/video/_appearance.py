"""What decides how a clip looks beside its pixels: colour, shape of a pixel, bits, orientation."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from keras_temporal_reg.io.video import _color, _orientation
from keras_temporal_reg.io.video._clip import UNKNOWN, Appearance, ClipError, is_cover

# Of light for a display of ordinary brightness: BT.709, sRGB and the like.
# Numbers are those of ITU-T H.273, which FFmpeg uses too.
_SDR_TRANSFERS = (*UNKNOWN, 1, 4, 5, 6, 7, 11, 12, 13, 14, 15)
_HDR_TRANSFERS = {16: "PQ, as HDR10 and Dolby Vision have", 18: "HLG"}
_PRIMARIES_OF_MATRIX = {1: 1, 5: 5, 6: 6, 7: 7, 9: 9}
_TRANSFER_OF_MATRIX = {1: 1, 5: 6, 6: 6, 7: 7, 9: 14}
_DEEP = (".mp4", ".mov", ".mkv")  # formats that are written with 10 bits where the clip has more
_SDR_PRIMARIES = (1, 5, 6, 7)
_DOUBTFUL = (1280, 577)  # columns or rows from which players differ on a clip without a matrix


def of_frame(stream: Any, frame: Any, declared: Any) -> Appearance:
    """The appearance of a clip, upright.

    Args:
        stream: of the clip.
        frame: a frame that `_decoding.Decoder` has decoded of it.
        declared: that of the decoder.
    """
    context = stream.codec_context
    matrix = 1 if _color.is_rgb(frame.format) else _color.matrix_of(frame)
    # VP9 cannot name that of the FCC, from which BT.601 differs by less than a level.
    matrix = 6 if matrix == 4 else matrix
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    # Browsers show the pixels of every GIF as squares.
    if aspect <= 0 or context.name == "gif":
        aspect = Fraction(1)
    return Appearance(
        matrix=matrix,
        primaries=_first_known(
            context.color_primaries, declared.primaries, _PRIMARIES_OF_MATRIX.get(matrix, 1)
        ),
        transfer=_first_known(
            context.color_trc, declared.transfer, _TRANSFER_OF_MATRIX.get(matrix, 1)
        ),
        aspect=1 / aspect if _orientation.of_frame(frame).is_transposed else aspect,
        bits=_color.bits_per_channel(frame.format),
        has_fine_chroma=_color.has_fine_chroma(frame.format),
    )


def check_is_sdr(path: Path, stream: Any, frame: Any = None) -> None:
    """Refuse a clip whose values are not what a display of ordinary brightness is sent.

    Args:
        path: of the clip, for the message.
        stream: of the clip.
        frame: of the clip, once one is decoded.

    Raises:
        ClipError: for HDR, linear or logarithmic light, and a matrix other than `_color.MATRICES`.
    """
    transfer, matrix = stream.codec_context.color_trc, stream.codec_context.colorspace
    to_sdr = "zscale=p=bt709:t=bt709:m=bt709:r=tv,format=yuv420p"
    # Of Dolby Vision alone, without what other players could show, nothing is named.
    is_dolby = matrix in UNKNOWN and "DOVI_METADATA" in _side_data(frame)
    if transfer in _HDR_TRANSFERS or is_dolby:
        what = f"is HDR ({_HDR_TRANSFERS.get(transfer, 'Dolby Vision')})"
        to_sdr = f"zscale=t=linear:npl=100,tonemap=hable:desat=0,{to_sdr}"
    elif transfer not in _SDR_TRANSFERS:
        what = f"has the transfer function number {transfer} of ITU-T H.273, not that of a display"
    elif matrix not in (*UNKNOWN, *_color.MATRICES):
        what = f"has the colour matrix number {matrix} of ITU-T H.273, which is not supported"
        if transfer in UNKNOWN:
            to_sdr = to_sdr.replace("zscale=", "zscale=pin=bt709:tin=bt709:")
    else:
        return
    result = shlex.quote(f"{path.stem}-sdr.mp4")
    raise ClipError(
        f"clip {path} {what}. Convert it first, for example by: ffmpeg -i "
        f"{shlex.quote(str(path))} -vf {to_sdr} -crf 16 -c:a copy {result}"
    )


def notes(path: Path, container: Any, stream: Any, frame: Any) -> Iterator[str]:
    """Sentences on what is assumed, dropped or not understood of a clip."""
    yield from _colour_notes(stream, frame)
    if frame.interlaced_frame:
        yield (
            "It is interlaced: its frames are read as they are stored, two fields woven together, "
            "and written as such. Deinterlace it first, for example by: ffmpeg -i "
            f"{shlex.quote(str(path))} -vf bwdif -c:a copy "
            f"{shlex.quote(f'{path.stem}-progressive.mp4')}"
        )
    if not _orientation.of_frame(frame).is_exact:
        yield "It is turned by an angle other than quarter turns; the nearest of these was taken."
    yield from _geometry_notes(frame)
    others = [*_other_tracks(container, stream)]
    if others:
        yield f"It has other tracks, which are not read: {', '.join(others)}."


def _colour_notes(stream: Any, frame: Any) -> Iterator[str]:
    pixel_format = frame.format
    # WebM stores alpha apart, where FFmpeg's own decoder does not look.
    is_apart = "1" in [v for k, v in stream.metadata.items() if k.lower() == "alpha_mode"]
    # FFmpeg decodes every GIF to a format with alpha.
    is_unused = stream.codec_context.name == "gif" and _color.is_opaque(frame)
    if is_apart or (_color.has_alpha(pixel_format) and not is_unused):
        yield "Its alpha channel is dropped; transparent areas show the colours stored there."
    wide = frame.width >= _DOUBTFUL[0] or frame.height >= _DOUBTFUL[1]
    if not _color.is_rgb(pixel_format) and frame.colorspace in UNKNOWN and wide:
        name = "BT.709" if _color.matrix_of(frame) == 1 else "BT.601"
        yield (
            f"It does not name its colour matrix; {name} was taken, as browsers do for "
            f"{frame.height} rows. FFmpeg takes BT.601."
        )


def _geometry_notes(frame: Any) -> Iterator[str]:
    kinds = _side_data(frame)
    if "SPHERICAL" in kinds:
        yield "It is a 360-degree video; results do not say so, and players show them flat."
    if "STEREO3D" in kinds and any(bytes(kinds["STEREO3D"])[:4]):
        yield "It holds two views for stereo; results do not say so, and players show both."


def _side_data(frame: Any) -> dict[str, Any]:
    try:
        return {data.type.name: data for data in frame.side_data} if frame else {}
    except ValueError:  # an entry of a newer FFmpeg, without a name here
        return {}


def _other_tracks(container: Any, stream: Any) -> Iterator[str]:
    for kind, name in (("video", "video"), ("audio", "sound"), ("subtitles", "subtitles")):
        found = [s for s in getattr(container.streams, kind) if not is_cover(s) and s != stream]
        count = len(found) - (1 if kind == "audio" else 0)
        if count > 0:
            yield f"{count} of {name}"


def not_carried(output: Path, appearance: Appearance, rate: Fraction) -> Iterator[str]:
    """Sentences on what a clip or folder to write cannot hold of an appearance.

    Args:
        output: selects the format by its suffix, as in `writer`.
        appearance: of the clip that was read.
        rate: frames per second.
    """
    suffix = output.suffix.lower()
    kind = suffix or "a folder of images"
    if appearance.aspect != 1 and suffix not in (*_DEEP, ".avi"):
        shape = f"{appearance.aspect.numerator} : {appearance.aspect.denominator}"
        yield (
            f"Its pixels are not square ({shape}), which {kind} does not hold: the result looks "
            "stretched. .mp4, .mov and .mkv hold it."
        )
    bits = 10 if suffix in _DEEP else 8
    if appearance.bits > bits:
        yield (
            f"It has {appearance.bits} bits per channel; {kind} is written with {bits}. .mp4, "
            ".mov and .mkv hold 10."
        )
    if appearance.primaries not in _SDR_PRIMARIES and suffix in (".avi", ".gif", ""):
        yield (
            f"Its colours have primaries (number {appearance.primaries} of ITU-T H.273) that "
            f"{kind} does not name: the result looks too pale. .mp4, .mov, .mkv and .webm name "
            "them."
        )
    if appearance.has_fine_chroma and suffix:
        yield (
            "Its colour has a higher resolution than most players take: the result has half of "
            "that of luma (4:2:0). A folder of images keeps all."
        )
    if suffix == ".gif" and rate > 50:
        yield "Browsers show at most 50 frames per second of a .gif: it will play slower."


def _first_known(*numbers: int) -> int:
    return next(number for number in numbers if number not in UNKNOWN)
