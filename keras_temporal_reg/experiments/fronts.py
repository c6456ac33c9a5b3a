"""Flicker against PSNR over all strengths of a method: its front.

Both relative to the baseline of the same seed: the share of its flicker, and the difference of
PSNR in dB. Between neighbouring strengths, and between the baseline and the weakest, the front is a
straight line.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from keras_temporal_reg.experiments.statistics import (
    Estimate,
    Groups,
    estimate,
    main_key,
    strengths_of,
)

PSNR_LOST = (0.0, 0.1)  # dB: what flicker is compared at
FLICKER_LEFT = 0.8  # of the baseline's: what PSNR is compared at
_PARTS = 200  # of each straight line


class Point(NamedTuple):
    """A place on a front.

    Attributes:
        flicker: as a share of the baseline's.
        psnr: above the baseline's, in dB.
    """

    flicker: float
    psnr: float


def points(groups: Groups, method: str) -> dict[int, list[Point]]:
    """The front of a method for each seed, from the baseline on, in the order of strengths.

    At the main length and the first data size.
    """
    if not groups:
        return {}
    plain = main_key(groups)
    keys = strengths_of(groups, method)
    seeds = set(groups.get(plain, {})).intersection(*(groups[key] for key in keys))
    found: dict[int, list[Point]] = {}
    for seed in sorted(seeds) if keys else ():
        before = groups[plain][seed]
        found[seed] = [Point(1.0, 0.0)]
        for key in keys:
            after = groups[key][seed]
            flicker = after.mean("flicker") / before.mean("flicker")
            found[seed].append(Point(flicker, after.mean("psnr") - before.mean("psnr")))
    return found


def mean(fronts: dict[int, list[Point]]) -> list[Point]:
    """The mean over seeds of each point."""
    return [Point(*np.mean(of_strength, axis=0).tolist()) for of_strength in zip(*fronts.values())]


def flicker_at(fronts: dict[int, list[Point]], psnr_lost: float) -> Estimate:
    """The least flicker on a front that loses no more PSNR than this, in dB."""
    return estimate([least_flicker(front, psnr_lost) for front in fronts.values()])


def psnr_at(fronts: dict[int, list[Point]], flicker_left: float) -> Estimate:
    """The highest PSNR, relative to the baseline's, where no more flicker is left than this share.

    NaN if a front does not get there.
    """
    return estimate([highest_psnr(front, flicker_left) for front in fronts.values()])


def least_flicker(front: list[Point], psnr_lost: float) -> float:
    """As `flicker_at`, of one seed."""
    flicker, psnr = _path(front)
    return float(flicker[psnr >= -psnr_lost - 1e-9].min())


def highest_psnr(front: list[Point], flicker_left: float) -> float:
    """As `psnr_at`, of one seed."""
    flicker, psnr = _path(front)
    reached = psnr[flicker <= flicker_left]
    return float(reached.max()) if reached.size else math.nan


def _path(front: list[Point]) -> np.ndarray:
    """Places along the straight lines between points, ``(2, places)``."""
    corners = np.arange(len(front))
    places = np.linspace(0, len(front) - 1, _PARTS * (len(front) - 1) + 1)
    return np.stack([np.interp(places, corners, values) for values in zip(*front)])
