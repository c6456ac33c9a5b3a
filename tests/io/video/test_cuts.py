"""Cuts, on real clips and on moving pictures."""

import numpy as np
import pytest
from helpers.clips import shipped
from skimage import data

from keras_temporal_reg.io import video


def test_cuts_of_a_real_clip_match_those_seen_by_eye():
    # Seen by eye: a truck, traffic, a van, a street, a parked bicycle, and a last shot.
    frames = video.read(shipped("bikes.mp4"), height=64).frames
    assert video.find_cuts(frames) == [30, 76, 137, 187, 242]


@pytest.mark.parametrize("name", ["bigbuckbunny.mp4", "carphone_pristine.mp4"])
def test_real_clips_of_one_shot_have_no_cut(name):
    assert video.find_cuts(video.read(shipped(name), height=64).frames) == []


@pytest.mark.parametrize("step", [4, 10])
@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_a_fast_camera_is_no_cut_but_the_next_picture_is(name, step):
    picture = getattr(data, name)() / np.float32(255.0)
    pan = [picture[:200, start : start + 200] for start in range(0, 10 * step, step)]
    other = [frame[::-1, ::-1] for frame in pan]
    assert video.find_cuts([*pan, *other]) == [10]


def test_a_flash_is_no_cut():
    picture = data.astronaut() / np.float32(255.0)
    assert video.find_cuts([picture, 0.3 * picture, picture]) == []


def test_a_cut_between_flat_frames_is_found():
    frames = np.zeros((5, 32, 32, 3), np.uint8)
    frames[3:] = 200
    assert video.find_cuts(frames) == [3]
