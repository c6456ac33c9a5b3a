"""What decides how a clip looks is read from it; what cannot be is refused or noted."""

import shlex
import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers import coding
from helpers.clips import ramp

from keras_temporal_reg.io import video

PICTURES = coding.pictures(32, 48, 2)


def notes(path):
    return " ".join(video.info(path).notes)


def test_the_appearance_of_a_clip_is_that_of_its_tags(tmp_path):
    path = coding.write(
        tmp_path / "clip.mkv", PICTURES, pixel_format="yuv444p10le", matrix=9, tags=(9, 12, 14),
        aspect=Fraction(4, 3),
    )  # fmt: skip
    assert video.info(path).appearance == video.Appearance(9, 12, 14, Fraction(4, 3), 10, True)


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_hdr_is_refused_with_the_command_that_converts_it(tmp_path, suffix, transfer, name):
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    path = coding.write(
        tmp_path / f"hdr clip{suffix}", PICTURES, codec=codec, matrix=9, tags=(9, 9, transfer)
    )
    for read in (video.info, lambda path: next(video.frames(path))):
        with pytest.raises(
            video.ClipError, match=rf"hdr clip.* is HDR \({name}.*: ffmpeg -i '.*tonemap"
        ):
            read(path)


@pytest.mark.parametrize(
    ("tags", "what"), [((9, 9, 16), "tonemap"), ((8, 2, 2), "zscale"), ((1, 1, 8), "zscale")]
)
def test_the_command_that_a_refusal_names_works(tmp_path, tags, what):
    program = shutil.which("ffmpeg")
    if (
        program is None
        or "zscale"
        not in subprocess.run(
            [program, "-hide_banner", "-filters"], capture_output=True, text=True
        ).stdout
    ):
        pytest.skip("needs an ffmpeg with zscale on the path")
    path = coding.write(tmp_path / "a clip.mkv", coding.pictures(32, 48, 3), tags=tags)
    with pytest.raises(video.ClipError) as refused:
        video.info(path)
    command = shlex.split(str(refused.value).split("example by: ")[1])
    assert what in " ".join(command)
    subprocess.run([program, "-v", "error", *command[1:]], check=True, cwd=tmp_path)
    assert len([*video.frames(tmp_path / "a clip-sdr.mp4")]) == 3


@pytest.mark.parametrize(
    ("tags", "what"),
    [((1, 1, 8), "transfer function number 8"), ((8, 1, 1), "matrix number 8"),
     ((10, 9, 14), "matrix number 10"), ((14, 9, 1), "matrix number 14")],
)  # fmt: skip
def test_other_light_and_other_matrices_are_refused(tmp_path, tags, what):
    path = coding.write(tmp_path / "clip.mp4", PICTURES, tags=tags)
    with pytest.raises(video.ClipError, match=rf"clip\.mp4 has the .*{what}.*ffmpeg"):
        video.info(path)


def test_a_matrix_that_is_guessed_is_noted_where_players_differ(tmp_path):
    sizes = {"hd": (720, 16), "wide": (16, 1280), "sd": (32, 48)}
    for name, size in sizes.items():
        coding.write(tmp_path / f"{name}.mp4", coding.pictures(*size, 2))
    assert "colour matrix; BT.709 was taken" in notes(tmp_path / "hd.mp4")
    assert "colour matrix; BT.601 was taken" in notes(tmp_path / "wide.mp4")
    assert notes(tmp_path / "sd.mp4") == ""


def test_the_colour_of_a_file_counts_where_frames_name_none(tmp_path):
    # ProRes names its own, which the encoder takes from frames; they have none here.
    path = coding.write(
        tmp_path / "clip.mov", PICTURES, codec="prores_ks", pixel_format="yuv444p10le", matrix=1,
        tags=(1, 1, 1),
    )  # fmt: skip
    assert video.info(path).appearance.matrix == 1


def test_interlaced_frames_are_noted(tmp_path):
    path = coding.write(
        tmp_path / "clip.mp4", coding.pictures(32, 48), options={"x264-params": "tff=1"}
    )
    assert "interlaced" in notes(path) and "bwdif" in notes(path)


def test_alpha_is_noted(tmp_path):
    path = tmp_path / "clip.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("qtrle", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "argb"
        pixels = np.full((16, 16, 4), 90, np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "argb")))
        container.mux(stream.encode())
    assert "alpha channel is dropped" in notes(path)
    assert next(video.frames(path)).pixels.shape == (16, 16, 3)


def test_alpha_of_webm_is_noted(tmp_path):
    path = tmp_path / "clip.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "yuv420p"
        stream.metadata["alpha_mode"] = "1"
        for frame in ramp(16, 16, 2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    assert "alpha channel is dropped" in notes(path)


def with_streams(path, *kinds):
    """A clip of several streams: of the frame sizes and dispositions `kinds`."""
    with av.open(str(path), "w") as container:
        streams = []
        for size, disposition in kinds:
            stream = container.add_stream("mjpeg", rate=25)
            stream.height, stream.width, stream.pix_fmt = size, size, "yuvj420p"
            stream.disposition = disposition.value
            streams.append(stream)
        for stream in streams:
            for t in range(1 if stream.disposition == COVER else 2):
                pixels = np.full((stream.height, stream.width, 3), 100, np.uint8)
                frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuvj420p")
                frame.pts = t
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path


COVER, DEFAULT = av.stream.Disposition.attached_pic, av.stream.Disposition.default


def test_a_clip_of_a_cover_picture_alone_is_refused(tmp_path):
    path = with_streams(tmp_path / "song.mp4", (16, COVER))
    for read in (video.info, lambda path: next(video.frames(path))):
        with pytest.raises(video.ClipError, match=r"song\.mp4 has no video stream but a cover"):
            read(path)


def test_a_cover_picture_in_front_of_the_video_is_not_read(tmp_path):
    path = with_streams(tmp_path / "clip.mp4", (16, COVER), (32, DEFAULT))
    about, frames = video.info(path), [*video.frames(path)]
    assert (about.height, len(frames)) == (32, 2)
    assert frames[0].pixels.shape == (32, 32, 3)
    assert not about.notes


def test_the_stream_that_players_show_is_read_and_others_are_noted(tmp_path):
    path = with_streams(tmp_path / "clip.mkv", (16, av.stream.Disposition(0)), (32, DEFAULT))
    assert video.info(path).height == 32
    assert next(video.frames(path)).pixels.shape == (32, 32, 3)
    assert "other tracks, which are not read: 1 of video" in notes(path)


@pytest.mark.parametrize(
    ("given", "suffix", "words"),
    [
        ({"aspect": Fraction(4, 3)}, ".webm", "not square (4 : 3)"),
        ({"aspect": Fraction(4, 3)}, ".mp4", ""),
        ({"bits": 10}, ".webm", "10 bits per channel; .webm is written with 8"),
        ({"bits": 12}, ".mkv", "12 bits per channel; .mkv is written with 10"),
        ({"bits": 10}, ".mkv", ""),
        ({"primaries": 9}, ".avi", "primaries"),
        ({"primaries": 9}, "", "a folder of images does not name"),
        ({"primaries": 9}, ".webm", ""),
        ({"has_fine_chroma": True}, ".mp4", "4:2:0"),
        ({"has_fine_chroma": True}, "", ""),
        ({}, ".gif", "50 frames per second"),
        ({}, ".mp4", ""),
    ],
)
def test_what_a_format_cannot_hold_is_named(tmp_path, given, suffix, words):
    lost = video.not_carried(tmp_path / f"out{suffix}", video.Appearance(**given), Fraction(60))
    found = " ".join(note for note in lost if suffix != ".gif" or "Browsers" in note)
    assert words in found if words else not found
