"""examples/delta/finetune.py: gradients are gradients, and weights that did not move stay."""

import importlib.util

import numpy as np
import pytest

from tinyseal.build.firmware import ROOT

SPEC = importlib.util.spec_from_file_location("finetune", ROOT / "examples/delta/finetune.py")
finetune = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(finetune)


@pytest.fixture(params=["digits_int8", "kws_int8"])
def network(request):
    return finetune.Network(ROOT / "models" / f"{request.param}.tflite")


def test_what_was_not_trained_is_the_same_file(network):
    assert network.quantised() == network.path.read_bytes()


def test_gradients_are_the_loss_s(network):
    random = np.random.default_rng(3)
    graph = network.graph
    inputs = random.normal(size=(2, *graph.tensor(graph.inputs[0]).shape[1:]))
    targets = np.eye(network.forward(inputs).shape[1])[[1, 4]]

    def loss():
        return -(targets * np.log(finetune.softmax(network.forward(inputs)))).sum()

    dy = finetune.softmax(network.forward(inputs)) - targets
    for layer in reversed(network.layers):
        dy = layer.backward(dy)
    for layer in network.layers:
        for param, grad in zip(layer.params, layer.grads, strict=True):
            # The largest one: away from where a rounding error would decide.
            at = np.unravel_index(np.abs(grad).argmax(), grad.shape)
            step, kept = 1e-6 * max(1.0, abs(param[at])), param[at]
            param[at] = kept + step
            above = loss()
            param[at] = kept - step
            slope = (above - loss()) / (2 * step)
            param[at] = kept
            assert slope == pytest.approx(grad[at], rel=1e-3)


def test_training_moves_weights_and_the_last_layer_alone(network):
    random = np.random.default_rng(3)
    graph = network.graph
    inputs = random.normal(size=(32, *graph.tensor(graph.inputs[0]).shape[1:]))
    targets = np.eye(network.forward(inputs).shape[1])[np.arange(32) % 10]
    before = [p.copy() for layer in network.layers for p in layer.params]
    network.train(inputs, targets, 1, 1e-3, last_only=True)
    after = [p for layer in network.layers for p in layer.params]
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert moved == [False] * (len(moved) - 2) + [True, True]
    assert network.quantised() != network.path.read_bytes()
