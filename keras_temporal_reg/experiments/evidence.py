"""The rows of an experiment in groups: strengths are chosen on some clips and tested on others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from keras_temporal_reg.experiments.configs import BLENDS
from keras_temporal_reg.experiments.statistics import (
    VALIDATION,
    Estimate,
    Group,
    Groups,
    Key,
    Row,
    choose,
    difference,
    excess_removed,
    group_rows,
    joined,
    main_key,
    ratio,
    sets_of,
    strengths_of,
    verdict,
)
from keras_temporal_reg.metrics import Outcome

Pick = Callable[[Groups], "Key | None"]


class Fold(NamedTuple):
    """Clips to choose on, and others to test on.

    Attributes:
        validation: the groups on the clips to choose on.
        tests: of each set of clips, the groups on those of its clips that are tested.
    """

    validation: Groups
    tests: Mapping[str, Groups]


class Chosen(NamedTuple):
    """A method at the strength that was chosen for it, for each clip on clips apart from it.

    Attributes:
        keys: the different ones that were chosen.
        group: its scores.
        plain: those of the baseline.
    """

    keys: tuple[Key, ...]
    group: Group
    plain: Group

    def __str__(self) -> str:
        methods = {key.method for key in self.keys}
        strengths = sorted({key.strength for key in self.keys})
        if len(methods) == 1 and len(strengths) > 1:
            return f"{self.keys[0].method} {strengths[0]:g} to {strengths[-1]:g}"
        return ", ".join(map(named, self.keys))

    @property
    def is_plain(self) -> bool:
        """Whether it is the baseline itself."""
        return self.keys == (self.keys[0].plain,)

    @property
    def flicker(self) -> Estimate:
        """Flicker, as a share of the baseline's."""
        return ratio(self.group, self.plain, "flicker")

    @property
    def psnr(self) -> Estimate:
        """PSNR above the baseline's, in dB."""
        return difference(self.group, self.plain, "psnr")

    @property
    def excess_removed(self) -> Estimate:
        """The share of the baseline's excess flicker that is gone."""
        return excess_removed(self.group, self.plain)


class Evidence(NamedTuple):
    """The rows of an experiment, in groups.

    Attributes:
        folds: together they test each clip once.
        tests: on each set of clips to test on.
    """

    folds: Sequence[Fold]
    tests: Mapping[str, Groups]

    @property
    def has_validation(self) -> bool:
        """Whether there are clips to choose on that are not tested; else each clip is tested with
        what the others favour.
        """
        return len(self.folds) == 1

    @property
    def applicable(self) -> dict[str, Groups]:
        """The test sets on which reconstruction only beats the baseline prediction."""
        return {name: groups for name, groups in self.tests.items() if _is_applicable(groups)}

    @property
    def sizes(self) -> list[int]:
        """The sizes of the training data."""
        return sorted({key.data for groups in self.tests.values() for key in groups})

    def picked(self, clips: str, pick: Pick) -> Chosen | None:
        """What is picked on other clips, on a set of clips; None where nothing is."""
        found: dict[Key, None] = {}
        groups: list[Group] = []
        plains: list[Group] = []
        for fold in self.folds:
            tested = fold.tests.get(clips, {})
            key = pick(fold.validation)
            if key is not None and key in tested and key.plain in tested:
                found[key] = None
                groups.append(tested[key])
                plains.append(tested[key.plain])
        return Chosen((*found,), joined(groups), joined(plains)) if found else None

    def chosen(self, clips: str, methods: Sequence[str]) -> list[Chosen]:
        """For each data size, each method at the strength that other clips favour, at the main
        length.
        """
        found = [
            self.picked(clips, functools.partial(_favoured, method=method, size=size))
            for size in self.sizes
            for method in methods
        ]
        return [each for each in found if each is not None]

    def best_blend(self, clips: str) -> Chosen | None:
        """The blend, with its share, that other clips favour; see `statistics.choose`."""

        def pick(groups: Groups) -> Key | None:
            of_each = (_favoured(groups, blend) for blend in BLENDS)
            return choose(groups, [key for key in of_each if key is not None])

        return self.picked(clips, pick)


def gather(rows: Sequence[Row]) -> Evidence:
    """Rows in groups.

    Without validation clips, each clip of the main set is tested with what the others of it favour,
    and clips of other names with what all of it favour.
    """
    sets = sets_of(rows)
    tests = {name: group_rows(rows, name) for name in sets}
    if not rows or VALIDATION in rows[0]["clips"]:
        folds = [Fold(group_rows(rows, VALIDATION), tests)] if rows else []
        return Evidence(folds, tests)
    names = {clips: [*rows[0]["clips"][clips]] for clips in sets}
    main = names[sets[0]]

    def fold(validation: Sequence[str], is_tested: Callable[[str], bool]) -> Fold:
        tested = {clips: [*filter(is_tested, each)] for clips, each in names.items()}
        return Fold(
            group_rows(rows, sets[0], validation),
            {clips: group_rows(rows, clips, each) for clips, each in tested.items() if each},
        )

    folds = [fold([n for n in main if n != name], name.__eq__) for name in main]
    return Evidence([*folds, fold(main, lambda name: name not in main)], tests)


def _favoured(groups: Groups, method: str, size: int | None = None) -> Key | None:
    return choose(groups, strengths_of(groups, method, size))


def named(key: Key) -> str:
    """A method with its strength."""
    return f"{key.method} {key.strength:g}" if key.strength else key.method


def _is_applicable(groups: Groups) -> bool:
    plain = groups.get(main_key(groups))
    return plain is not None and verdict(plain, plain).outcome is not Outcome.NOT_APPLICABLE
