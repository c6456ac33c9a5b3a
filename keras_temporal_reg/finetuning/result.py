"""What a fine-tuning did."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from keras_temporal_reg.finetuning import training
from keras_temporal_reg.finetuning.choice import Choice


@dataclasses.dataclass(frozen=True)
class FineTuned:
    """What a run did.

    Attributes:
        output: the model that was written.
        choice: which blend was chosen, and why; None where one network was trained.
        plot: a plot of that choice; None likewise.
        method: the regularizer; ``"blend"`` where members were blended.
        alpha: its strength; of a blend, the mean of its members'.
        task: name of the task.
        steps: how many were trained, of all members; fewer than the option says after early
            stopping.
        pictures: number of images that were trained on.
        validation_pictures: number of images that were held out.
        skipped: ``name: reason`` of each image that was not used, or not to choose the strength.
        trainings: name of each network that was trained to what its training did.
        members: the folder of the members; None where they were not kept.
        notes: sentences for the user.
        seconds: of training, over all parts of an interrupted run; the search comes on top.
        versions: of Python, TensorFlow, Keras and this package.
    """

    output: Path
    choice: Choice | None
    plot: Path | None
    method: str
    alpha: float
    task: str
    steps: int
    pictures: int
    validation_pictures: int
    skipped: list[str]
    trainings: Mapping[str, training.History]
    members: Path | None
    seconds: float
    versions: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def loss(self) -> list[float]:
        """Mean of the loss over each part of the last training."""
        return [*self.trainings.values()][-1].loss

    @property
    def val_loss(self) -> list[float]:
        """The reconstruction loss on the images that were held out, after each part of the last
        training.
        """
        return [*self.trainings.values()][-1].val_loss


def show(result: FineTuned) -> None:
    """Print what a run did."""
    for name, history in result.trainings.items():
        print(
            f"Fine-tuned for {result.task}, {name}: {history.steps} steps on {result.pictures} "
            f"images, {history.seconds:.0f} s."
        )
        if history.val_loss:
            print(
                f"Reconstruction loss on {result.validation_pictures} held-out images: "
                f"{history.val_loss[0]:.5f} after the first part, {history.val_loss[-1]:.5f} after "
                f"the last, {min(history.val_loss):.5f} at best."
            )
    if result.choice is not None:
        share = result.choice.seconds / max(result.seconds, 1e-9)
        print(
            f"Blend of {len(result.choice.trials)} evaluated in {result.choice.seconds:.0f} s, "
            f"{100 * share:.0f} % of the time of the fine-tunings: {result.choice.reason}"
        )
        print(f"Blends: {result.plot}")
    if result.members is not None:
        print(f"Members: {result.members}")
    for reason in result.skipped:
        print(f"Skipped: {reason}")
    for note in result.notes:
        print(note)
    print(f"Written: {result.output}")
