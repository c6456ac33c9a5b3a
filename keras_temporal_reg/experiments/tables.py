"""Tables of an experiment's results, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from keras_temporal_reg import metrics
from keras_temporal_reg.experiments import fronts
from keras_temporal_reg.experiments.alternatives import ALTERNATIVES
from keras_temporal_reg.experiments.configs import PLAIN
from keras_temporal_reg.experiments.evidence import Chosen, Evidence
from keras_temporal_reg.experiments.statistics import (
    MEASURES,
    Groups,
    difference,
    main_key,
    of_group,
    strengths_of,
    verdict,
)


def of_chosen(evidence: Evidence, clips: str) -> str:
    """The methods at the strengths that other clips favour, on a set of clips."""
    head = ["", "flicker", "excess removed", "PSNR", "contrast", "needs at inference", "verdict"]
    rows = []
    for chosen in evidence.chosen(clips, _methods(evidence.tests[clips])):
        rows.append(
            [
                f"{chosen}{_stills(evidence, chosen)}",
                *_of_chosen(chosen),
                _needs(chosen),
                _outcome(chosen),
            ]
        )
    return _table(head, rows)


def of_other_sets(evidence: Evidence, names: Sequence[str]) -> str:
    """The same on further sets of clips: flicker and PSNR."""
    head, rows = [""], []
    for name in names:
        head += ["strength", f"flicker, {name}", f"PSNR, {name}"]
    for method in _methods(evidence.tests[names[0]]):
        for each in zip(*(evidence.chosen(name, [method]) for name in names)):
            cells = [f"{method}{_stills(evidence, each[0])}"]
            for chosen in each:
                cells += [str(chosen).removeprefix(method).strip(), *_of_chosen(chosen)[::2]]
            rows.append(cells)
    return _table(head, rows)


def _stills(evidence: Evidence, chosen: Chosen) -> str:
    """The size of the training data, where there are several."""
    return f", {chosen.keys[0].data} stills" if len(evidence.sizes) > 1 else ""


def of_fronts(groups: Groups) -> str:
    """What each method reaches over all of its strengths, at equal PSNR and at equal flicker."""
    head = [
        "",
        *(
            f"flicker at {-lost:+.1f} dB" if lost else "flicker at equal PSNR"
            for lost in fronts.PSNR_LOST
        ),
        f"PSNR at {fronts.FLICKER_LEFT:g} times the flicker",
    ]
    rows = []
    for method in _methods(groups):
        front = fronts.points(groups, method)
        if method == PLAIN or not front:
            continue
        reached = [fronts.flicker_at(front, lost) for lost in fronts.PSNR_LOST]
        psnr = fronts.psnr_at(front, fronts.FLICKER_LEFT)
        rows.append(
            [method, *(f"x {each}" for each in reached), _with_unit(psnr.text(2, "+"), "dB")]
        )
    return _table(head, rows)


def of_lengths(evidence: Evidence, clips: str) -> str:
    """Blends of fine-tunings of other lengths; "" where there is one length."""
    groups = evidence.tests[clips]
    lengths = sorted({key.steps for key in groups})
    main = main_key(groups)
    if len(lengths) < 2:
        return ""
    head = ["steps", "PSNR of reconstruction only", "blend", "flicker", "excess removed", "PSNR"]
    rows = []
    for steps in lengths:
        plain = main._replace(steps=steps)
        if plain not in groups:
            continue
        longer = difference(groups[plain], groups[main], "psnr").text(2, "+")
        for key in strengths_of(groups, "blend", steps=steps):
            cells = _of_chosen(Chosen((key,), groups[key], groups[plain]))[:3]
            rows.append([str(steps), f"{longer} dB", f"{key.strength:g}", *cells])
    return _table(head, rows)


def of_all(groups: Groups) -> str:
    """All measures of all groups."""
    measures = [metrics.MEASURES[key] for key in MEASURES]
    head = ["method", "strength", "steps", "data", *(measure.heading for measure in measures)]
    rows = []
    for key, group in groups.items():
        strength = f"{key.strength:g}" if key.strength else ""
        cells = [of_group(group, m.key).times(m.factor).text(m.digits) for m in measures]
        rows.append([key.method, strength, str(key.steps), str(key.data), *cells])
    return _table(head, rows)


def _of_chosen(chosen: Chosen) -> list[str]:
    """Flicker, excess removed, PSNR and contrast, relative to reconstruction only."""
    names = ("flicker", "psnr", "contrast_ratio")
    flicker, psnr, contrast = (of_group(chosen.group, name).text(2) for name in names)
    if chosen.is_plain:
        return [f"{flicker} %", "", f"{psnr} dB", contrast]
    return [
        f"x {chosen.flicker}",
        _with_unit(chosen.excess_removed.times(100).text(0), "%"),
        _with_unit(chosen.psnr.text(2, "+"), "dB"),
        contrast,
    ]


def _with_unit(text: str, unit: str) -> str:
    return text if text == "-" else f"{text} {unit}"


def _needs(chosen: Chosen) -> str:
    alternative = ALTERNATIVES.get(chosen.keys[0].method)
    if alternative is None:
        return ""
    strength = max(key.strength for key in chosen.keys)
    passes, delay = alternative.passes(strength), alternative.delay(strength)
    parts = [f"{passes} passes"] if passes > 1 else []
    if alternative.needs_neighbours:
        parts.append(f"{delay} frames of delay" if delay else "past frames")
    return ", ".join(parts)


def _outcome(chosen: Chosen) -> str:
    if chosen.is_plain:
        return ""
    return verdict(chosen.group, chosen.plain).outcome.name.replace("_", " ")


def _methods(groups: Groups) -> list[str]:
    return [*dict.fromkeys(key.method for key in groups)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
