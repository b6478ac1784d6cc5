"""Trains the three digits networks and writes models/digits_*.tflite and test.npz.

    .venv/bin/python examples/digits/train.py

Takes a few minutes on two cores. Needs `./setup train`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from network import VARIANTS, load_split, to_input, train

from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter
from tinyseal.optimise.binarise import binarise
from tinyseal.optimise.keras import read_keras

HERE = Path(__file__).resolve().parent
MODELS = HERE.parents[1] / "models"
CALIBRATION_IMAGES = 400


def quantise_by_tensorflow(model, calibration):
    """TensorFlow's own post-training quantisation, int8 throughout."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([x[None]] for x in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def accuracy(path, images, labels):
    """Of the integer model, by the reference interpreter: the device's bytes."""
    graph = load_model(path)
    quant = graph.tensor(graph.inputs[0]).quant
    inputs = np.round(to_input(images) / quant.scale) + quant.zero_point
    inputs = np.clip(inputs, -128, 127).astype(np.int8)
    interpreter = Interpreter(graph)
    guesses = [int(np.argmax(interpreter.invoke([x[None]])[0])) for x in inputs]
    return float(np.mean(np.array(guesses) == labels))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--models", type=Path, default=MODELS, help="where the files go")
    arguments = parser.parse_args()
    images, test_images, labels, test_labels = load_split()
    np.savez_compressed(HERE / "test.npz", images=test_images[..., 0], labels=test_labels)
    calibration = to_input(images[:CALIBRATION_IMAGES])
    for variant in VARIANTS:
        model = train(variant, to_input(images), labels, arguments.epochs)
        guesses = np.argmax(model.predict(to_input(test_images), verbose=0), axis=1)
        if variant == "int8":
            data = quantise_by_tensorflow(model, calibration)
        else:
            network = read_keras(model, calibration)
            _, data = binarise(network, model.name, f"tinyseal examples/digits, {variant}")
        path = arguments.models / f"{model.name}.tflite"
        path.write_bytes(data)
        print(
            f"{path.name}: {len(data)} B, accuracy on {len(test_labels)} test images: "
            f"Keras {np.mean(guesses == test_labels):.4f}, "
            f"integers {accuracy(path, test_images, test_labels):.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
