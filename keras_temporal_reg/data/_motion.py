"""T of the counterparts of a batch, applied to its images on their own pixel grids."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from typing import Any

import tensorflow as tf

from keras_temporal_reg import image, transforms
from keras_temporal_reg.core import seeding


def is_built_in(transform: Any) -> bool:
    """Whether a transform is one of this package, which keeps no state and compiles."""
    return transform is None or type(transform) in (transforms.RandomAffine, transforms.RandomFlow)


def check_transform(transform: Any) -> None:
    """Check the methods of a transform; None has none.

    Raises:
        TypeError: if `sample` or `apply` is missing, or cannot be called as here.
    """
    if transform is None:
        return
    needed = (
        "transform must be None or have the methods sample(batch_size, height, width, seed=None) "
        "and apply(images, transforms), as RandomAffine does. Received: "
    )
    if not all(callable(getattr(transform, name, None)) for name in ("sample", "apply")):
        raise TypeError(f"{needed}{transform!r}")
    takes_seed = seeding.takes_seed(transform.sample)
    for name, count in (("sample", 3), ("apply", 2)):
        method = getattr(transform, name)
        options = {"seed": 0} if name == "sample" and takes_seed else {}
        try:
            inspect.signature(method).bind(*range(count), **options)
        except TypeError as error:
            raise TypeError(f"{needed}{name}{inspect.signature(method)}: {error}") from None
        except ValueError:  # Python cannot look into the method
            continue
    if not takes_seed:
        warnings.warn(
            f"transform.sample of {transform!r} has no argument `seed`, two integers for stateless "
            "random ops: a run that is resumed or repeated draws other transforms",
            stacklevel=4,
        )


@dataclasses.dataclass(frozen=True)
class Motion:
    """T of the first `count` samples of a batch.

    Attributes:
        transform: applies T; None is the identity.
        drawn: ``(count, 8)``, or a flow ``(count, height, width, 2)``: T on the pixel grid of x.
        x_size: height and width of x.
        count: number of counterparts.
    """

    transform: Any
    drawn: tf.Tensor
    x_size: tuple[Any, Any]
    count: Any

    def on_grid_of(self, images: tf.Tensor) -> tf.Tensor:
        """T on the pixel grid of `images`."""
        size = image.spatial_shape(images)
        if self.drawn.shape.rank == 4:
            return transforms.rescale_flow(self.drawn, size)
        return transforms.rescale_transforms(self.drawn, self.x_size, size)

    def apply(self, images: tf.Tensor) -> tf.Tensor:
        """T of the first `count` images."""
        images = images[: self.count]
        if self.transform is None:
            return images
        return self.transform.apply(images, self.on_grid_of(images))

    def apply_to_each(self, images: list[tf.Tensor]) -> list[tf.Tensor]:
        """T of each tensor. Those that fit become channels of one, so that T is computed once."""
        fit = all(
            t.dtype == images[0].dtype
            and t.shape[1:3].is_fully_defined()
            and t.shape[1:3] == images[0].shape[1:3]
            and t.shape[3] is not None
            for t in images
        )
        # A user's own transform may depend on the number of channels.
        if not (fit and is_built_in(self.transform)):
            return [self.apply(t) for t in images]
        moved = self.apply(tf.concat(images, axis=-1))
        return tf.split(moved, [t.shape[3] for t in images], axis=-1)


def draw(transform: Any, count: Any, x_size: tuple[Any, Any], seed: Any) -> Motion:
    """Draw T for `count` samples, on the pixel grid of x; `seed` determines it, if it is taken."""
    if transform is None:
        return Motion(None, transforms.identity(count), x_size, count)
    options = {"seed": seed} if seeding.takes_seed(transform.sample) else {}
    return Motion(transform, transform.sample(count, *x_size, **options), x_size, count)
