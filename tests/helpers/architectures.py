"""Small networks of the kinds that public examples for image-to-image work use."""

import tensorflow as tf
from tensorflow import keras

layers = keras.layers
SIZE = 48, 64  # of the frames that they are given


def autoencoder():
    """Strided convolutions down, transposed convolutions up."""
    x = keras.Input((None, None, 3))
    h = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    h = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(h)
    for filters in (8, 8):
        h = layers.Conv2DTranspose(filters, 3, strides=2, padding="same", activation="relu")(h)
    return keras.Model(x, layers.Conv2D(3, 3, padding="same", activation="sigmoid")(h))


@keras.utils.register_keras_serializable(package="architectures")
class SubPixel(layers.Layer):
    """Channels to twice the height and width."""

    def call(self, x):
        return tf.nn.depth_to_space(x, 2)

    def compute_output_shape(self, shape):
        batch, height, width, channels = shape
        return batch, height and 2 * height, width and 2 * width, channels // 4


def sub_pixel_super_resolution():
    x = keras.Input((None, None, 3))
    h = layers.Conv2D(12, 5, padding="same", activation="tanh")(x)
    h = layers.Conv2D(12, 3, padding="same")(h)
    return keras.Model(x, SubPixel()(h))


@keras.utils.register_keras_serializable(package="architectures")
class OwnStep(keras.Model):
    """A functional model with a training step of its own, which plain Keras would run."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.abs(self(x, training=True) - y))
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return {"loss": loss}


def residual_super_resolution():
    x = keras.Input((None, None, 3))
    first = h = layers.Conv2D(8, 3, padding="same")(x)
    for _ in range(2):
        inner = layers.Conv2D(8, 3, padding="same", activation="relu")(h)
        h = layers.Add()([h, layers.Conv2D(8, 3, padding="same")(inner)])
    h = layers.UpSampling2D(2)(layers.Add()([first, h]))
    return OwnStep(x, layers.Conv2D(3, 3, padding="same")(h))


def attention_restoration():
    """Two scales, and a channel attention that looks at the whole image."""
    x = keras.Input((None, None, 3))
    fine = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    coarse = layers.Conv2D(8, 3, padding="same", activation="relu")(
        layers.AveragePooling2D(2)(fine)
    )
    h = layers.Concatenate()([fine, layers.UpSampling2D()(coarse)])
    gates = layers.GlobalAveragePooling2D(keepdims=True)(h)
    gates = layers.Conv2D(16, 1, activation="sigmoid")(gates)
    h = layers.Conv2D(3, 3, padding="same")(layers.Multiply()([h, gates]))
    return keras.Model(x, layers.Add()([x, h]))


def curve_enhancement():
    """A map of curves, applied to the input several times, as for low light without targets."""
    x = keras.Input((None, None, 3))
    h = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    curve = layers.Conv2D(3, 3, padding="same", activation="tanh")(h)
    y = x
    for _ in range(4):
        room = layers.Multiply()([y, layers.Rescaling(-1.0, 1.0)(y)])
        y = layers.Add()([y, layers.Multiply()([curve, room])])
    return keras.Model(x, y)


def unet_segmentation():
    """Logits of five classes."""
    x = keras.Input((None, None, 3))
    fine = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    h = layers.MaxPooling2D()(fine)
    h = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", activation="relu")(h))
    h = layers.Conv2DTranspose(8, 2, strides=2, activation="relu")(h)
    return keras.Model(x, layers.Conv2D(5, 1)(layers.Concatenate()([h, fine])))


@keras.utils.register_keras_serializable(package="architectures")
def depth_loss(y_true, y_pred):
    """Differences of values and of gradients."""
    steps = [abs(t[:, 1:] - t[:, :-1]) for t in (y_true, y_pred)]
    return tf.reduce_mean(abs(y_true - y_pred)) + tf.reduce_mean(abs(steps[0] - steps[1]))


def depth_estimation():
    x = keras.Input((None, None, 3))
    h = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    h = layers.UpSampling2D(2, interpolation="bilinear")(h)
    y = layers.Conv2D(1, 3, padding="same", activation="softplus")(h)
    model = keras.Model(x, y)
    model.compile("adam", depth_loss)
    return model


def pix2pix_generator():
    """Batch normalization and dropout, values from -1 to 1."""
    x = keras.Input((None, None, 3))
    fine = layers.Conv2D(8, 4, strides=2, padding="same")(x)
    h = layers.Conv2D(8, 4, strides=2, padding="same")(layers.LeakyReLU()(fine))
    h = layers.BatchNormalization()(h)
    h = layers.Conv2DTranspose(8, 4, strides=2, padding="same")(layers.Activation("relu")(h))
    h = layers.Dropout(0.5)(layers.BatchNormalization()(h))
    h = layers.Concatenate()([layers.Activation("relu")(h), fine])
    return keras.Model(
        x, layers.Conv2DTranspose(3, 4, strides=2, padding="same", activation="tanh")(h)
    )


def window_attention():
    """Self-attention in windows of 8 x 8 pixels, of images of one size."""
    height, width = SIZE
    side, channels = 8, 8
    x = keras.Input((height, width, 3))
    h = layers.Conv2D(channels, 3, padding="same")(x)
    rows, columns = height // side, width // side
    windows = layers.Reshape((rows, side, columns, side * channels))(h)
    windows = layers.Permute((1, 3, 2, 4))(windows)
    windows = layers.Reshape((rows * columns, side * side, channels))(windows)
    seen = layers.MultiHeadAttention(1, channels, attention_axes=(2,))(windows, windows)
    h = layers.Reshape((rows, columns, side, side * channels))(layers.Add()([windows, seen]))
    h = layers.Permute((1, 3, 2, 4))(h)
    h = layers.Reshape((height, width, channels))(h)
    return keras.Model(x, layers.Add()([x, layers.Conv2D(3, 3, padding="same")(h)]))


ALL = (
    autoencoder,
    sub_pixel_super_resolution,
    residual_super_resolution,
    attention_restoration,
    curve_enhancement,
    unet_segmentation,
    depth_estimation,
    pix2pix_generator,
    window_attention,
)
