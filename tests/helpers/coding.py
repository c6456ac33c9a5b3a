"""Clips coded and decoded by plain arithmetic on their planes, apart from FFmpeg's conversions."""

import struct
from fractions import Fraction

import av
import numpy as np

# Of red and blue in luma: ITU-R BT.709, BT.601 and BT.2020, by their numbers in ITU-T H.273.
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
# In the header of a track: a pixel (x, y) is shown at (a x + c y, b x + d y).
TURNS = {
    "upright": (1, 0, 0, 1),
    "clockwise": (0, 1, -1, 0),
    "half": (-1, 0, 0, -1),
    "counter-clockwise": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside down": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transposed and half": (0, -1, -1, 0),
}


def pictures(height, width, count=4):
    """Smooth frames ``(count, height, width, 3)`` in [0, 1], of colours from most of the cube."""
    rows, columns = np.mgrid[:height, :width] / np.array([[[height]], [[width]]])
    return np.stack(
        [
            np.stack([rows, columns, 0.5 + 0.4 * np.sin(3 * rows + 2 * columns + t)], -1) * 0.8
            + 0.1
            for t in range(count)
        ]
    )


def encode(rgb, matrix=6, is_full=False, bits=8, subsampling=2):
    """The planes of ``Y'CbCr`` of an image in [0, 1], with colour means over square blocks."""
    red, blue = WEIGHTS[matrix]
    luma = red * rgb[..., 0] + (1 - red - blue) * rgb[..., 1] + blue * rgb[..., 2]
    planes = [luma, (rgb[..., 2] - luma) / (2 - 2 * blue), (rgb[..., 0] - luma) / (2 - 2 * red)]
    if is_full:
        scaled = [plane * (2**bits - 1) for plane in planes]
    else:
        scaled = [plane * 2 ** (bits - 8) * size for plane, size in zip(planes, (219, 224, 224))]
        scaled[0] = scaled[0] + 16 * 2 ** (bits - 8)
    chroma = [_means(plane, subsampling) + 2 ** (bits - 1) for plane in scaled[1:]]
    dtype = np.uint8 if bits == 8 else np.uint16
    return [np.rint(np.clip(p, 0, 2**bits - 1)).astype(dtype) for p in (scaled[0], *chroma)]


def decode(frame, matrix, is_full=False):
    """RGB in [0, 1] of a PyAV frame of ``Y'CbCr``, its colour interpolated linearly."""
    bits = frame.format.components[0].bits
    dtype = np.uint8 if bits == 8 else np.uint16
    luma, *chroma = (
        np.frombuffer(p, dtype).reshape(p.height, -1)[:, : p.width].astype(float)
        for p in frame.planes
    )
    chroma = [_enlarged(plane, luma.shape) - 2 ** (bits - 1) for plane in chroma]
    if is_full:
        luma, cb, cr = (plane / (2**bits - 1) for plane in (luma, *chroma))
    else:
        luma, cb, cr = (
            (plane - low * 2 ** (bits - 8)) / 2 ** (bits - 8) / size
            for plane, low, size in zip((luma, *chroma), (16, 0, 0), (219, 224, 224))
        )
    red, blue = WEIGHTS[matrix]
    r, b = luma + (2 - 2 * red) * cr, luma + (2 - 2 * blue) * cb
    green = (luma - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([r, green, b], -1), 0.0, 1.0)


def write(
    path,
    frames,
    times=None,
    *,
    codec="libx264",
    pixel_format="yuv420p",
    matrix=6,
    is_full=False,
    tags=None,
    aspect=Fraction(1),
    turn="upright",
    options=None,
    rate=25,
    clock=Fraction(1, 90000),
):
    """Write RGB frames in [0, 1] at `times` in seconds as a clip that is tagged with `tags`.

    Args:
        tags: numbers of the matrix, primaries and transfer; None leaves the clip untagged.
        turn: one of `TURNS`, written into the header of an MP4 file.
    """
    times = [Fraction(t) / rate for t in range(len(frames))] if times is None else times
    bits = av.VideoFormat(pixel_format).components[0].bits
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pixel_format
        context = stream.codec_context
        context.time_base, context.sample_aspect_ratio = clock, aspect
        if tags:
            context.colorspace, context.color_primaries, context.color_trc = tags
        if tags or is_full:
            context.color_range = 2 if is_full else 1
        for rgb, time in zip(frames, times):
            frame = _frame(rgb, pixel_format, matrix, is_full, bits)
            frame.pts, frame.time_base = round(time / clock), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if turn != "upright":
        turn_header(path, TURNS[turn])
    return path


def turn_header(path, matrix):
    """Write (a, b, c, d) into the header of the only track of an MP4 file."""
    data = path.read_bytes()
    plain, turned = (
        struct.pack(">6i", *(round(65536 * n) for n in (a, b, 0, c, d, 0)))
        for a, b, c, d in ((1, 0, 0, 1), matrix)
    )
    at = data.index(plain, data.index(b"tkhd"))
    path.write_bytes(data[:at] + turned + data[at + len(plain) :])


def damage(path, number):
    """Overwrite all of a packet of an MP4 file but its first bytes."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        at, size = packets[number].pos, packets[number].size
    data = bytearray(path.read_bytes())
    data[at + 8 : at + size] = bytes(size - 8)
    path.write_bytes(data)


def turned(image, turn):
    """What players show of an image with a `turn` in its header, by moving each pixel."""
    a, b, c, d = TURNS[turn]
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = a * columns + c * rows, b * columns + d * rows
    x, y = x - x.min(), y - y.min()
    shown = np.empty((y.max() + 1, x.max() + 1, *image.shape[2:]), image.dtype)
    shown[y, x] = image
    return shown


def _frame(rgb, pixel_format, matrix, is_full, bits):
    described = av.VideoFormat(pixel_format)
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], pixel_format)
    if described.is_rgb:
        order = (1, 2, 0) if pixel_format.startswith("gbr") else (0, 1, 2)
        planes = [np.rint(rgb[..., i] * (2**bits - 1)) for i in order]
        if len(frame.planes) == 1:
            planes = [np.stack(planes, -1).reshape(rgb.shape[0], -1)]
    else:
        width = rgb.shape[1]
        subsampling = -(-width // described.chroma_width(width))
        planes = encode(rgb, matrix, is_full, bits, subsampling)
    dtype = np.uint8 if bits == 8 else np.uint16
    for plane, values in zip(frame.planes, planes):
        height, width = values.shape
        np.frombuffer(plane, dtype).reshape(plane.height, -1)[:height, :width] = values
    return frame


def _means(plane, size):
    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % size), (0, -width % size)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // size, size, padded.shape[1] // size, size)
    return blocks.mean((1, 3))


def _enlarged(plane, shape):
    """Between the samples linearly; a sample is in the middle of its block."""
    for axis in (0, 1):
        count, size = plane.shape[axis], shape[axis]
        factor = -(-size // count)
        at = (np.arange(size) + 0.5) / factor - 0.5
        low = np.clip(np.floor(at).astype(int), 0, count - 1)
        high = np.clip(low + 1, 0, count - 1)
        weight = np.clip(at - low, 0.0, 1.0)
        weight = weight if axis else weight[:, np.newaxis]
        plane = np.take(plane, low, axis) * (1 - weight) + np.take(plane, high, axis) * weight
    return plane
