"""What `process` writes with a network that changes nothing looks like its clip, at the same times.

The clips are coded, and the results decoded, by plain arithmetic on their planes.
"""

import base64
import dataclasses
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers import coding
from PIL import Image
from tensorflow import keras

import keras_temporal_reg as ktr

HEIGHT, WIDTH, COUNT = 48, 64, 4
BT709, BT601, PAL, BT2020, P3 = (1, 1, 1), (6, 6, 6), (5, 5, 6), (9, 9, 14), (1, 12, 13)
VARYING = tuple(Fraction(t, 1000) for t in (0, 40, 250, 290))
LATE = tuple(Fraction(t, 1000) for t in (500, 540, 580, 620))
FILM = tuple(Fraction(t * 1001, 24000) for t in range(COUNT))
LOSSLESS, QUALITY = 1.0, 2.0  # mean error in levels of 8 bits
TICKS = {".mp4": 90000, ".mov": 90000, ".mkv": 1000, ".webm": 1000, ".avi": 1000, ".gif": 100}


@dataclasses.dataclass(frozen=True)
class Case:
    """A clip, and the format to write it in."""

    source: str
    result: str
    codec: str = "libx264"
    pixels: str = "yuv420p"
    tags: tuple[int, int, int] | None = BT601
    matrix: int = 0  # of a clip without tags
    is_full: bool = False
    turn: str = "upright"
    aspect: Fraction = Fraction(1)
    times: tuple[Fraction, ...] | None = None
    rate: Fraction = Fraction(25)
    size: tuple[int, int] = (HEIGHT, WIDTH)
    notes: str = ""
    kept: tuple[int, int, int] | None = None  # tags of the result, if not those of the clip

    def __str__(self):
        given = dataclasses.asdict(self).items()
        usual = {f.name: f.default for f in dataclasses.fields(self)}
        return "-".join(
            "x".join(map(str, v)) if isinstance(v, tuple) else str(v).replace("/", ":")
            for k, v in given
            if v != usual[k] and k not in ("notes", "kept", "rate")
        )


WIDE, SQUARE_4_3 = Fraction(64, 45), Fraction(4, 3)
CASES = [
    # Each format into each, in both matrices.
    Case(".mp4", ".mp4"),
    Case(".mp4", ".mov", tags=BT709),
    Case(".mp4", ".mkv", tags=BT709),
    Case(".mp4", ".webm", tags=BT709),
    Case(".mp4", ".webm"),
    Case(".mp4", ".avi", tags=BT709),
    Case(".mp4", "", tags=BT709),
    Case(".mov", ".mp4", tags=PAL),
    Case(".mkv", ".mp4", tags=BT709),
    Case(".webm", ".mp4", "libvpx-vp9", tags=BT709),
    Case(".webm", ".webm", "libvpx-vp9"),
    Case(".avi", ".mp4", "mpeg4", tags=None, matrix=6, kept=BT601),
    Case(".avi", ".avi", "mpeg4", tags=None, matrix=6),
    Case(".avi", ".mp4", tags=BT709),
    # Other codecs, and colour in other formats.
    Case(".mkv", ".mkv", "ffv1", "yuv444p", tags=BT709, notes="4:2:0"),
    Case(".mkv", ".mp4", "ffv1", "yuv420p10le", tags=BT709),
    Case(".avi", ".mp4", "utvideo", "yuv420p", tags=None, matrix=6, kept=PAL),
    Case(".mov", ".mp4", "prores_ks", "yuv444p10le", tags=BT709, notes="4:2:0"),
    Case(".ts", ".mp4", "mpeg2video", "yuv420p", tags=BT709),
    Case(".mp4", ".mp4", "libx265", "yuv420p", tags=BT709),
    Case(".mov", ".mp4", "png", "rgb24", tags=None, kept=BT709, notes="4:2:0"),
    Case(".avi", ".webm", "utvideo", "gbrp", tags=None, kept=BT709, notes="4:2:0"),
    Case(".mkv", ".mp4", "ffv1", "gbrp10le", tags=None, kept=BT709, notes="4:2:0"),
    Case(".mov", ".mp4", "qtrle", "rgb24", tags=None, kept=BT709, notes="4:2:0"),
    # More bits.
    Case(".mp4", ".mp4", pixels="yuv420p10le", tags=BT709),
    Case(".mkv", ".webm", pixels="yuv420p10le", tags=BT709, notes="10 bits"),
    Case(".mp4", ".avi", pixels="yuv420p10le", notes="10 bits"),
    Case(".mp4", "", pixels="yuv420p10le", notes="10 bits"),
    # Range.
    Case(".mp4", ".mp4", is_full=True),
    Case(".mp4", ".webm", tags=BT709, is_full=True),
    Case(".mkv", ".mkv", "ffv1", "yuv420p10le", tags=BT709, is_full=True),
    Case(".avi", ".mp4", "mjpeg", "yuvj420p", tags=None, matrix=5, is_full=True, kept=PAL),
    # Primaries.
    Case(".mp4", ".mp4", tags=BT2020),
    Case(".mp4", ".webm", tags=BT2020),
    Case(".mp4", ".mov", tags=P3),
    Case(".mp4", ".avi", tags=P3, notes="primaries"),
    # Without tags, by their rows.
    Case(".mp4", ".mp4", tags=None, matrix=6, kept=BT601),
    Case(".mp4", ".mp4", tags=None, matrix=1, kept=BT709, size=(720, 32), notes="colour matrix"),
    Case(".mp4", ".avi", tags=BT601, size=(720, 32)),
    # Orientation.
    *(Case(".mp4", ".mp4", turn=turn, tags=BT709) for turn in coding.TURNS if turn != "upright"),
    # The shape of a pixel.
    Case(".mp4", ".mp4", aspect=WIDE),
    Case(".mp4", ".mkv", aspect=WIDE, turn="clockwise"),
    Case(".mkv", ".avi", aspect=SQUARE_4_3),
    Case(".mp4", ".webm", aspect=SQUARE_4_3, notes="not square"),
    # Sizes.
    Case(".mkv", ".mp4", pixels="yuv444p", size=(47, 63), notes="4:2:0"),
    Case(".webm", ".webm", "libvpx-vp9", size=(47, 63)),
    # Times.
    *(Case(".mp4", result, times=VARYING) for result in (".mp4", ".mkv", ".webm", ".avi")),
    Case(".webm", ".mp4", "libvpx-vp9", times=VARYING),
    Case(".avi", ".mp4", "mpeg4", times=VARYING, tags=None, matrix=6, kept=BT601),
    *(Case(".mp4", result, times=LATE) for result in (".mp4", ".mkv", ".webm", ".avi")),
    *(
        Case(source, result, times=FILM, rate=Fraction(24000, 1001))
        for source, result in ((".mp4", ".mp4"), (".mkv", ".avi"), (".mp4", ".webm"))
    ),
]
OPTIONS = {
    "libx264": {"qp": "0"},
    "libvpx-vp9": {"lossless": "1"},
    "libx265": {"x265-params": "lossless=1:log-level=none"},
    "mpeg4": {"qscale": "2", "global_quality": "236", "flags": "+qscale"},
    "mjpeg": {"qscale": "2", "global_quality": "236", "flags": "+qscale"},
    "mpeg2video": {"qscale": "2", "global_quality": "236", "flags": "+qscale"},
}


@pytest.fixture(scope="module")
def identity():
    return keras.Sequential([keras.Input((None, None, 3)), keras.layers.Activation("linear")])


def source_of(case, folder):
    clock = Fraction(1, 90000)
    if case.source == ".avi" or case.codec in ("mpeg2video", "mpeg4"):
        clock = 1 / case.rate if case.times is None else Fraction(1, 1000)
    return coding.write(
        folder / f"source{case.source}",
        coding.pictures(*case.size, COUNT),
        case.times,
        codec=case.codec,
        pixel_format=case.pixels,
        matrix=case.tags[0] if case.tags else case.matrix,
        is_full=case.is_full,
        tags=case.tags,
        aspect=case.aspect,
        turn=case.turn,
        options=OPTIONS.get(case.codec, {}) | ({"bf": "0"} if case.source == ".avi" else {}),
        rate=case.rate,
        clock=clock,
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_result_looks_like_the_clip_at_the_same_times(case, identity, tmp_path):
    source = source_of(case, tmp_path)
    path = tmp_path / f"result{case.result}"
    result = ktr.process(identity, source, path, show_progress=False)
    assert result.is_complete and result.frames == COUNT
    assert (case.notes in " ".join(result.notes)) if case.notes else not noted(result)
    expected = [coding.turned(f, case.turn) for f in coding.pictures(*case.size, COUNT)]
    if not case.result:
        shown = [np.asarray(Image.open(p)) / 255.0 for p in sorted(path.iterdir())]
        assert errors(shown, expected).max() <= LOSSLESS
        return
    shown, times = look(path, case)
    assert errors(shown, expected).mean() <= QUALITY
    given = case.times or tuple(t / case.rate for t in range(COUNT))
    if case.result == ".avi":  # begins with its first frame
        given, times = given[1:], times[1:]
    tick = (1 / TICKS[case.result] + 1 / TICKS.get(case.source, 90000)) / 2
    assert [float(t) for t in times] == pytest.approx([float(t) for t in given], abs=tick)


def noted(result):
    """The notes but that on the frame rate, which is a guess."""
    return [note for note in result.notes if "may vary" not in note]


def errors(shown, expected):
    assert [image.shape for image in shown] == [image.shape for image in expected]
    return np.array([255 * np.abs(a - b).mean() for a, b in zip(shown, expected)])


def look(path, case):
    """The frames of a result as its tags say, which are checked, and their times."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [*container.decode(stream)]
        context = stream.codec_context
        tags = context.colorspace, context.color_primaries, context.color_trc
        if case.result == ".avi":  # holds no tags
            assert context.colorspace == 2
            matrix = 1 if frames[0].height >= 720 else 6
        else:
            assert tags == (case.kept or case.tags)
            assert frames[0].color_range == 1
            matrix = tags[0]
        upright = case.turn in ("upright", "half", "mirrored", "upside down")
        aspect = case.aspect if upright else 1 / case.aspect
        if case.result != ".webm":
            assert (stream.sample_aspect_ratio or 1) == aspect
        bits = av.VideoFormat(case.pixels).components[0].bits
        assert frames[0].format.components[0].bits == (
            8 if case.result in (".avi", ".webm") else min(bits, 10)
        )
        times = [frame.pts * frame.time_base for frame in frames]
        return [coding.decode(frame, matrix) for frame in frames], times


SHOW = """async source => {
    const video = document.createElement("video");
    video.muted = true;
    await new Promise((done, failed) => {
        video.onloadeddata = () => { video.currentTime = 0.1; };
        video.onseeked = done;
        video.onerror = () => failed(video.error.message);
        video.src = source;
    });
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const context = canvas.getContext("2d");
    for (;;) {  // until the frame is there: without one, nothing is drawn, and alpha is 0
        context.drawImage(video, 0, 0);
        const [...color] = context.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data;
        if (color.pop()) return color;
        await new Promise(requestAnimationFrame);
    }
}"""


def shown_by(browser, path):
    page = browser.new_page()
    data = base64.b64encode(path.read_bytes()).decode()
    color = page.evaluate(SHOW, f"data:video/{path.suffix[1:]};base64,{data}")
    page.close()
    return np.array(color)


@pytest.mark.parametrize("result", [".mp4", ".webm"])
@pytest.mark.parametrize(
    ("size", "tags", "matrix"),
    [
        ((720, 1280), BT709, 1),
        ((720, 1280), None, 1),
        ((480, 640), None, 6),
        ((480, 640), BT709, 1),
    ],
)
def test_a_browser_shows_the_same_colour(chromium, identity, tmp_path, size, tags, matrix, result):
    frames = [np.full((*size, 3), (0.0, 170 / 255, 0.0))] * 5
    source = coding.write(tmp_path / "source.mp4", frames, tags=tags, matrix=matrix)
    ktr.process(identity, source, tmp_path / f"result{result}", show_progress=False)
    before, after = (shown_by(chromium, p) for p in (source, tmp_path / f"result{result}"))
    np.testing.assert_allclose(before, (0, 170, 0), atol=6)
    np.testing.assert_allclose(after, before, atol=2)
