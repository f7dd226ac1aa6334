"""The Keras models of the table, by name: TensorFlow's converter writes other operators than litert-torch for the same layers.

Needs the extra ``second-runtime``, which brings TensorFlow and Keras.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras import layers

_MAP, _TOKENS, _IMAGE = (8, 8, 16), (16, 32), (32, 32, 3)


def _model(build: Callable[[Any], Any], shape: tuple[int, ...], batch: int = 1) -> Callable[[], keras.Model]:
    def make() -> keras.Model:
        x = keras.Input(shape, batch_size=batch)
        return keras.Model(x, build(x))

    return make


def _residual(x: Any) -> Any:
    y = layers.Conv2D(16, 3, padding="same", use_bias=False)(x)
    y = layers.Activation("relu")(layers.BatchNormalization()(y))
    return layers.Activation("relu")(layers.add([x, layers.Conv2D(16, 3, padding="same")(y)]))


def _squeeze_excite(x: Any) -> Any:
    scale = layers.GlobalAveragePooling2D(keepdims=True)(x)
    scale = layers.Conv2D(16, 1, activation="sigmoid")(layers.Conv2D(4, 1, activation="relu")(scale))
    return layers.multiply([x, scale])


def _inverted_bottleneck(x: Any) -> Any:
    y = layers.Conv2D(64, 1, activation="relu6")(x)
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(y)
    return layers.add([x, layers.Conv2D(16, 1)(y)])


def _unet(x: Any) -> Any:
    first = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    down = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.MaxPooling2D()(first))
    up = layers.Conv2DTranspose(8, 2, strides=2)(down)
    return layers.Conv2D(3, 1)(layers.concatenate([first, up]))


def _transformer(x: Any) -> Any:
    x = layers.add([x, layers.MultiHeadAttention(4, 8)(layers.LayerNormalization()(x), layers.LayerNormalization()(x))])
    return layers.add([x, layers.Dense(32)(layers.Dense(64, activation="gelu")(layers.LayerNormalization()(x)))])


def _classifier(x: Any) -> Any:
    y = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    return layers.Dense(10, activation="softmax")(layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(y)))


def _csp(x: Any) -> Any:
    one, two = keras.ops.split(layers.Conv2D(32, 1, activation="swish")(x), 2, axis=-1)
    return layers.Conv2D(16, 1)(layers.concatenate([one, two, layers.Conv2D(16, 3, padding="same")(two)]))


def _mixer(x: Any) -> Any:
    y = layers.Permute((2, 1))(layers.LayerNormalization()(x))
    return layers.add([x, layers.Permute((2, 1))(layers.Dense(16)(layers.Dense(32, activation="gelu")(y)))])


KERAS_CASES: Mapping[str, Callable[[], keras.Model]] = {
    f"Keras: {name}": make
    for name, make in {
        "residual block": _model(_residual, _MAP),
        "squeeze and excite": _model(_squeeze_excite, _MAP),
        "inverted bottleneck": _model(_inverted_bottleneck, _MAP),
        "separable convolution": _model(layers.SeparableConv2D(8, 3, padding="same", activation="swish"), _MAP),
        "dilated convolution": _model(layers.Conv2D(8, 3, dilation_rate=2, padding="same"), _MAP),
        "grouped convolution": _model(layers.Conv2D(16, 3, groups=4, padding="same"), _MAP),
        "convolution of sequences": _model(layers.Conv1D(16, 3, padding="same"), _TOKENS),
        "convolution, odd input, stride 2": _model(layers.Conv2D(8, 3, strides=2, padding="same"), (15, 15, 16)),
        "zero padding": _model(layers.ZeroPadding2D(((0, 1), (1, 0))), _MAP),
        "max pool, same": _model(layers.MaxPooling2D(3, 2, padding="same"), (15, 15, 16)),
        "average pool, same": _model(layers.AveragePooling2D(3, 2, padding="same"), (15, 15, 16)),
        "upsampling, nearest": _model(layers.UpSampling2D(2), _MAP),
        "upsampling, bilinear": _model(layers.UpSampling2D(2, interpolation="bilinear"), _MAP),
        "UNet": _model(_unet, _IMAGE),
        "classifier": _model(_classifier, _IMAGE),
        "CSP block": _model(_csp, _MAP),
        "batch normalisation alone": _model(layers.BatchNormalization(), _MAP),
        "layer normalisation": _model(layers.LayerNormalization(), _TOKENS),
        "group normalisation": _model(layers.GroupNormalization(4), _MAP),
        "unit normalisation": _model(layers.UnitNormalization(), _TOKENS),
        "dense of tokens": _model(layers.Dense(12, activation="relu"), _TOKENS),
        "dense of a flattened map": _model(lambda x: layers.Dense(6)(layers.Flatten()(x)), _MAP),
        "transformer layer": _model(_transformer, _TOKENS),
        "multi-head attention, 2 pictures": _model(lambda x: layers.MultiHeadAttention(4, 8)(x, x), _TOKENS, 2),
        "attention with an einsum": _model(
            lambda x: keras.ops.einsum("bqc,bkc->bqk", layers.Dense(8)(x), layers.Dense(8)(x)), _TOKENS
        ),
        "mixer": _model(_mixer, _TOKENS),
        "PReLU": _model(layers.PReLU(shared_axes=[1, 2]), _MAP),
        "LeakyReLU": _model(layers.LeakyReLU(0.2), _MAP),
        "ELU": _model(layers.ELU(), _MAP),
        "hard swish": _model(layers.Activation("hard_silu"), _MAP),
        "mish": _model(layers.Activation("mish"), _MAP),
        "softplus": _model(layers.Activation("softplus"), _MAP),
        "cumulative sum": _model(lambda x: keras.ops.cumsum(x, axis=1), _TOKENS),
        "top-k of rows of 32": _model(lambda x: keras.ops.top_k(x, 4)[0], _TOKENS),
        "space to depth": _model(layers.Lambda(lambda x: tf.nn.space_to_depth(x, 2)), _MAP),
    }.items()
}


def convert_keras(make: Callable[[], keras.Model], path: Path) -> str:
    """Writes the model's .tflite with fixed random weights; returns the error's first line, "" without one."""
    keras.utils.set_random_seed(0)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it describes what it saves
            path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(make()).convert())
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    return ""
