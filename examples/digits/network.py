"""The digits network in three variants of one architecture. Needs `./setup train`."""

from __future__ import annotations

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import larq
import numpy as np
import tf_keras as keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

VARIANTS = ("int8", "binary_weight", "binary")
SEED = 7


def load_split():
    """scikit-learn's handwritten digits, 8x8 pixels of 0 to 16: images, test images, labels."""
    digits = load_digits()
    images = digits.images.astype(np.uint8)[..., None]
    return train_test_split(
        images, digits.target, test_size=360, random_state=SEED, stratify=digits.target
    )


def to_input(images):
    """Pixels as the network takes them: [-1, 1]."""
    return images.astype(np.float32) / 8 - 1


def build(variant):
    """conv 32, conv 64, pool, conv 64, pool, dense 10; batch normalisation behind every conv.

    The first and the last layer are ordinary in all variants. The two inner convolutions, 98.8 %
    of the multiplications, are:

        int8            ordinary, with ReLU in front
        binary_weight   weights +1 or -1, with ReLU in front
        binary          weights and inputs +1 or -1
    """
    layers = keras.layers

    def inner(channels):
        if variant == "int8":
            return layers.Conv2D(channels, 3, padding="same", use_bias=False)
        return larq.layers.QuantConv2D(
            channels,
            3,
            padding="same",
            use_bias=False,
            input_quantizer="ste_sign" if variant == "binary" else None,
            kernel_quantizer="ste_sign",
            kernel_constraint="weight_clip",
        )

    def activation():
        # A binary layer's activation is the sign its successor takes.
        return [] if variant == "binary" else [layers.ReLU()]

    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            *activation(),
            inner(64),
            layers.MaxPooling2D(),
            layers.BatchNormalization(),
            *activation(),
            inner(64),
            layers.MaxPooling2D(),
            layers.BatchNormalization(),
            *activation(),
            layers.Flatten(),
            layers.Dense(10),
        ],
        name=f"digits_{variant}",
    )


def shifted(images, rng):
    """Each image moved by up to one pixel each way."""
    moved = np.full_like(images, -1.0)
    for image, out in zip(images, moved, strict=True):
        dy, dx = rng.integers(-1, 2, 2)
        ys, xs = slice(max(dy, 0), 8 + min(dy, 0)), slice(max(dx, 0), 8 + min(dx, 0))
        out[ys, xs] = image[max(-dy, 0) : 8 + min(-dy, 0), max(-dx, 0) : 8 + min(-dx, 0)]
    return moved


def train(variant, images, labels, epochs):
    """The trained Keras model; the same seed gives the same weights on the same machine."""
    keras.utils.set_random_seed(SEED)
    rng = np.random.default_rng(SEED)
    model = build(variant)
    steps = epochs * -(-len(images) // 64)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    for _ in range(epochs):
        model.fit(shifted(images, rng), labels, batch_size=64, epochs=1, verbose=0)
    return model
