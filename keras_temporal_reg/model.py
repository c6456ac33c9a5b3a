"""The in-graph route: pair each batch inside the training step."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import transforms
from keras_temporal_reg.core import base_model as checks
from keras_temporal_reg.core import outputs, seeding
from keras_temporal_reg.data import _paired_target, _pairing, _teacher
from keras_temporal_reg.data._batches import ImageFunction
from keras_temporal_reg.losses import is_regularized


@keras.utils.register_keras_serializable(package="keras_temporal_reg")
class RegularizedModel(keras.Model):
    """Trains an image-to-image model to be temporally stable; the model itself is not changed.

    Each training step pairs its batch with transformed counterparts, on the device and under XLA,
    and then runs Keras's own step. `evaluate`, `predict` and metrics see the plain samples.
    `base_model` is the one to save and deploy.

    From Eilertsen, Mantiuk and Unger, "Single-frame Regularization for Temporally Stable CNNs",
    CVPR 2019.

    Args:
        base_model: a Keras model of any kind, with any number of inputs. All inputs of rank 4 are
            images ``(batch, height, width, channels)`` and move together. If it adds losses of its
            own (`add_loss`, activity regularizers), each step calls it once more, on the samples
            alone, since these losses must not count the counterparts.
        transform: draws T; an object with the methods `sample` and `apply` of `RandomAffine`. None
            is the identity: the two frames then differ by `perturbation` alone.
        perturbation: a layer or function applied to the transformed images only, such as
            `keras.layers.GaussianNoise(0.03)`.
        make_input: for tasks whose input is made from the target: the transformed input is then
            ``make_input(T(y))``, motion before degradation, in place of ``T(x)``. If it, or
            `perturbation`, has an argument `seed`, it gets two integers, new ones in each step.
        pair_fraction: share of each batch that gets a counterpart, in (0, 1]. With a quarter, a
            step costs 1.2 to 1.3 plain steps instead of 2; which part it is changes from step to
            step.
        teacher: a frozen network whose outputs take the place of targets (self-distillation): a
            Keras model, such as another copy of `base_model`, or a function from x to images. It
            sees the batch that is trained on, in inference mode, before the batch is paired; `fit`
            then takes x alone. A Keras model is saved with this one.
        output: which of several outputs is regularized: its name, its key in a dict, or its number
            in a list. The others are trained on the plain samples, each with its own loss.
        **kwargs: `name` and `dtype`, as for any Keras model.

    Raises:
        TypeError: if `transform`, `perturbation`, `make_input` or `teacher` cannot be used as
            described.
        ValueError: if the model has several outputs and `output` names none of them, if its output
            does not have the aspect of its input, if its images are channels first, if
            pair_fraction is outside (0, 1], or if the teacher shares weights with the model, has
            other shapes, or comes with a `make_input`, which needs a target.
        NotImplementedError: under a `MultiWorkerMirroredStrategy` of several workers with Keras 3,
            whose `fit` cannot train there.

    Example:
        >>> import tensorflow as tf, keras_temporal_reg as ktr
        >>> from tensorflow import keras
        >>> base = keras.Sequential(
        ...     [keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3, padding="same")]
        ... )
        >>> model = ktr.RegularizedModel(base)
        >>> model.compile("adam", ktr.losses.SparseJacobianLoss(alpha=0.9))
        >>> history = model.fit(tf.zeros((4, 16, 16, 1)), tf.zeros((4, 16, 16, 2)), verbose=0)
        >>> model.base_model is base
        True
    """

    teacher: Any = None  # until it is set, for what Keras reads before

    def __init__(
        self,
        base_model: keras.Model,
        transform: Any = transforms.RandomAffine(),  # noqa: B008
        perturbation: ImageFunction | None = None,
        make_input: ImageFunction | None = None,
        pair_fraction: float = 1.0,
        teacher: Any = None,
        output: str | int | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(base_model, RegularizedModel):
            raise ValueError(
                "base_model must be the network itself, not a RegularizedModel: give its "
                f"base_model. Received: {base_model!r}"
            )
        checks.check(base_model, output)
        _check_workers(tf.distribute.get_strategy())
        options = _pairing.Options(transform, perturbation, make_input, pair_fraction).checked()
        if teacher is not None:
            _teacher.check_teacher(teacher, base_model)
            if make_input is not None:
                raise ValueError(
                    "make_input makes inputs from targets, which a teacher does not need: leave "
                    f"one of the two out. Received: make_input={make_input!r} and a teacher"
                )
        # The base model's policy, by which Keras decides whether to scale the loss.
        kwargs.setdefault("dtype", base_model.dtype_policy)
        super().__init__(**kwargs)
        self.teacher = teacher
        self.base_model = base_model
        self.transform = transform
        self.perturbation = perturbation
        self.make_input = make_input
        self.pair_fraction = options.pair_fraction
        self.regularized_output = output
        if names := checks.output_names(base_model):
            # For the losses and metrics of Keras; not an attribute that checkpoints hold.
            self.__dict__["output_names"] = names
        self._first_seed = seeding.chosen_seed(transform)
        # BackupAndRestore and `export` refuse a model that is not built.
        if getattr(base_model, "inputs", None):
            self.build(base_model.input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        return self.base_model(inputs, training=training)

    def build(self, input_shape: Any) -> None:
        if not self.base_model.built:
            self.base_model.build(input_shape)
        if isinstance(self.teacher, keras.Model) and not self.teacher.built:
            self.teacher.build(input_shape)
        self.built = True

    # The teacher is saved with this model, and is no part of what is trained.
    @property
    def trainable_weights(self) -> list[Any]:
        return self._without_teacher(super().trainable_weights)

    @property
    def trainable_variables(self) -> list[Any]:
        return self._without_teacher(super().trainable_variables)

    def _without_teacher(self, variables: list[Any]) -> list[Any]:
        teachers = {id(variable) for variable in getattr(self.teacher, "variables", ())}
        return [variable for variable in variables if id(variable) not in teachers]

    @property
    def losses(self) -> list[Any]:
        return super().losses if self.teacher is None else self.base_model.losses

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, **kwargs: Any) -> None:
        """Configure training as `keras.Model.compile` does.

        Args:
            optimizer: as in Keras.
            loss: a `TransformInvarianceLoss` or `SparseJacobianLoss`. For several outputs, a list
                or dict with one of these for the output that is regularized, and any loss or None
                for the others.
            **kwargs: the other arguments of Keras: `metrics`, `jit_compile`, ...

        Raises:
            ValueError: for any other loss.
            NotImplementedError: for gradients that are accumulated on several replicas, at which
                Keras 3 fails.
        """
        self._check_loss(loss, checks.declared(self.base_model, "output"))
        _check_accumulation(optimizer, self.distribute_strategy.num_replicas_in_sync)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        # Keras leaves a loaded model uncompiled where `compile` is overridden without this.
        self.compile(**keras.utils.deserialize_keras_object(config))
        if self.built and hasattr(self.optimizer, "build"):
            self.optimizer.build(self.trainable_variables)

    def pair(self, x: Any, y: Any = None, sample_weight: Any = None) -> tuple[Any, tf.Tensor, Any]:
        """Pair a batch as the next training step will.

        Args:
            x: ``(batch, height, width, channels)``, or any nest of tensors with such images.
            y: ``(batch, height, width, channels)``, at least 20 pixels per image; a list or dict of
                targets for several outputs; None with a teacher, which makes it.
            sample_weight: None, or one number per sample or per pixel; for several outputs, one for
                all of them, or a list or dict like y.

        Returns:
            x, y and `sample_weight` with their counterparts, interleaved; y has one more channel,
            which carries T to the loss. The parts of y for other outputs have no counterparts.

        Raises:
            ValueError: if shapes do not fit each other or the model, or there is no target, or one
                beside a teacher.
        """
        if (y is None) == (self.teacher is None):
            raise ValueError(
                "the data must be x alone with a teacher, and (x, y) without one. Received: "
                + ("no y and no teacher" if y is None else "y and a teacher")
            )
        if self.teacher is not None:
            y = self._targets_of_teacher(x)
        key = self._key("y", y)
        self._check_target(outputs.part(y, key))
        replica = tf.distribute.get_replica_context()
        index = 0 if replica is None else replica.replica_id_in_sync_group
        seed = tf.stack([tf.constant(self._first_seed, tf.int32), _draw_number(self.optimizer)])
        seed = tf.random.experimental.stateless_fold_in(seed, index)
        return _pairing.pair(
            x,
            y,
            self.transform,
            seed,
            outputs.in_structure_of(y, sample_weight, checks.output_names(self)),
            perturbation=self.perturbation,
            make_input=self.make_input,
            pair_fraction=self.pair_fraction,
            output=key,
        )

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        return super().train_step(self.pair(*keras.utils.unpack_x_y_sample_weight(data)))

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Keras's own step, against the teacher's outputs where the data have no targets."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if y is None and self.teacher is not None:
            y = self._targets_of_teacher(x)
        return super().test_step((x, y, sample_weight))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None
    ) -> tf.Tensor:
        """Keras's own loss; other outputs and losses of the model's own are of the samples."""
        self._check_loss(self.loss, y_pred)  # now that the outputs are known
        key, y, sample_weight, fraction = self._aligned(y, y_pred, sample_weight)
        if checks.has_losses_of_rows(self.base_model):
            if isinstance(fraction, tf.Tensor):
                raise ValueError(
                    "y must have a number of channels that is known while tracing, since "
                    "base_model adds losses of its own: call tf.ensure_shape on it. "
                    f"Received: y of shape {outputs.part(y, key).shape}"
                )
            if fraction:  # in training; the losses are then those of this call
                self.base_model(_samples_of(x, fraction), training=True)
        y_pred = outputs.mapped(y_pred, key, lambda t: t, lambda t: _samples_of(t, fraction))
        return super().compute_loss(x, y, y_pred, sample_weight)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, tf.Tensor]:
        key, y, sample_weight, fraction = self._aligned(y, y_pred, sample_weight)
        prediction = outputs.part(y_pred, key)

        def of_samples(tensor: Any) -> Any:
            return _samples_of(tensor, fraction)

        return super().compute_metrics(
            of_samples(x),
            outputs.mapped(
                y, key, lambda t: of_samples(_paired_target.images_of(t, prediction)), lambda t: t
            ),
            outputs.mapped(y_pred, key, of_samples, of_samples),
            outputs.mapped(sample_weight, key, of_samples, lambda t: t),
        )

    def _aligned(self, y: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, Any, Any, Any]:
        """The key of the regularized output, y and weights like outputs, and how much is paired."""
        names = checks.output_names(self)
        key = self._key("the model's outputs", y_pred)
        y, sample_weight = (
            outputs.in_structure_of(y_pred, part, names) for part in (y, sample_weight)
        )
        if outputs.count(y_pred) > 1 and not outputs.is_nested(y):
            raise ValueError(
                "y must be a list or dict with a target per output of the model. "
                f"Received: y of shape {getattr(y, 'shape', None)}"
            )
        # While tracing, it may be unknown whether this is a training step or a test step.
        prediction, target = outputs.part(y_pred, key), outputs.part(y, key)
        fraction = _paired_target.fraction_of(target, prediction, self.pair_fraction)
        return key, y, sample_weight, fraction

    def _key(self, what: str, structure: Any) -> Any:
        names = checks.output_names(self)
        return outputs.key_of(what, structure, self.regularized_output, names)

    def _targets_of_teacher(self, x: Any) -> Any:
        return _teacher.targets_of(self.teacher, x, self.regularized_output is not None)

    def _check_loss(self, loss: Any, returned: Any) -> None:
        """Refuse anything but one regularized loss, for the output that is regularized."""
        key = self._key("loss", loss)
        others = outputs.mapped(loss, key, lambda _: None, lambda each: each)
        one_for_all = key is None and outputs.count(returned) > 1
        found = outputs.part(loss, key)
        if not is_regularized(found) or one_for_all:
            raise ValueError(
                "loss must be a TransformInvarianceLoss or a SparseJacobianLoss"
                + (", in a list or dict with a loss or None per output" if one_for_all else "")
                + ". Pass your own loss to it, as in keras_temporal_reg.losses.SparseJacobianLoss("
                f"alpha=0.9, reconstruction=...). Received: loss={loss!r}"
            )
        if outputs.is_nested(others) and any(map(is_regularized, tf.nest.flatten(others))):
            raise ValueError(
                "loss must have one regularized loss, for the output to regularize. "
                f"Received: loss={loss!r}"
            )

    def _check_target(self, y: Any) -> None:
        """Here rather than in the loss, whose message would count the channel of the pairing."""
        returned = checks.declared(self.base_model, "output")
        if returned is None:
            return
        channels = outputs.part(returned, self._key("the model's outputs", returned)).shape[-1]
        received = tf.TensorShape(getattr(y, "shape", None))
        if received.rank == 4 and None not in (channels, received[-1]) and channels != received[-1]:
            raise ValueError(
                f"the target must have the channels of the model's output, {channels}. An RGBA "
                "target for an RGB model has one too many: remove its alpha channel. "
                f"Received: y of shape {received}"
            )

    def get_config(self) -> dict[str, Any]:
        serialize = keras.utils.serialize_keras_object
        return {
            "name": self.name,
            "base_model": serialize(self.base_model),
            "transform": serialize(self.transform),
            "perturbation": serialize(self.perturbation),
            "make_input": serialize(self.make_input),
            "pair_fraction": self.pair_fraction,
            "teacher": serialize(self.teacher),
            "output": self.regularized_output,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> RegularizedModel:
        parts = {
            name: keras.utils.deserialize_keras_object(config[name], custom_objects=custom_objects)
            for name in ("base_model", "transform", "perturbation", "make_input", "teacher")
            if name in config
        }
        return cls(**{**config, **parts})


def _samples_of(tensors: Any, fraction: Any) -> Any:
    """The rows of plain samples, in each tensor of a nest."""
    return tf.nest.map_structure(
        lambda t: None if t is None else _paired_target.select_samples(t, fraction), tensors
    )


def _accumulates(optimizer: Any) -> bool:
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    return bool(getattr(inner, "gradient_accumulation_steps", None))


def _check_accumulation(optimizer: Any, replicas: int) -> None:
    """Refuse what Keras 3 fails at in the first step, with a message about `merge_call`."""
    if replicas > 1 and _accumulates(optimizer):
        raise NotImplementedError(
            "Keras 3 cannot accumulate gradients on several replicas: leave out "
            f"gradient_accumulation_steps, or train on one device. Received: {replicas} replicas"
        )


def _draw_number(optimizer: Any) -> Any:
    """A number that is new for each batch, and the same in a resumed run; int32.

    The optimizer's count of steps, where it counts each batch.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    count = inner._iterations if _accumulates(optimizer) else optimizer.iterations
    number = tf.cast(tf.convert_to_tensor(count), tf.int32)
    if inner is optimizer or not hasattr(keras, "ops"):
        return number
    # Keras 3 does not count a step whose gradients overflow; but it then halves this scale.
    scale = optimizer.dynamic_scale if optimizer.built else optimizer.initial_scale
    scale = tf.bitcast(tf.cast(tf.convert_to_tensor(scale), tf.float32), tf.int32)
    initial = tf.bitcast(tf.cast(optimizer.initial_scale, tf.float32), tf.int32)
    return tf.bitwise.bitwise_xor(number, scale - initial)


def _check_workers(strategy: tf.distribute.Strategy) -> None:
    """Refuse several workers with Keras 3, which fails later without a message."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return
    here, everywhere = len(strategy.extended.worker_devices), strategy.num_replicas_in_sync
    if hasattr(keras, "ops") and everywhere > here:
        raise NotImplementedError(
            "Keras 3 cannot train under a MultiWorkerMirroredStrategy of several workers. Set "
            "TF_USE_LEGACY_KERAS=1, with the package tf_keras, before importing TensorFlow, or "
            f"use TensorFlow 2.15. Received: {everywhere} replicas, {here} of them in this process"
        )
