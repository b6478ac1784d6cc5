"""Layers given to CMSIS-NN have the reference's bytes, on every path of it that we take."""

from pathlib import Path

import numpy as np
import pytest

from support.host_capsule import HostCapsule, cmsis_nn_arguments
from support.judge import sample_inputs
from support.random_network import Maker
from tinyseal.bench.inference import bench
from tinyseal.build.firmware import Request
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.plan.kernels import KernelSet
from tinyseal.plan.planner import plan
from tinyseal.profiles import load_board

PROJECT = Path(__file__).resolve().parents[1]
MODELS = PROJECT / "build" / "tests"


class Layers(Maker):
    """Operators of chosen geometry, side by side: none reads what another wrote."""

    def conv_of(self, x, out, kernel, stride=(1, 1), padding="SAME", dilation=(1, 1)):
        weights, scales = self._weights((out, *kernel, x.shape[3]), 0)
        self._convolve("CONV_2D", x, out, kernel, stride, padding, dilation, weights, scales)

    def depthwise_of(self, x, multiplier, kernel, stride=(1, 1), padding="SAME", dilation=(1, 1)):
        out = x.shape[3] * multiplier
        weights, scales = self._weights((1, *kernel, out), 3)
        self._convolve(
            "DEPTHWISE_CONV_2D", x, out, kernel, stride, padding, dilation, weights, scales,
            depth_multiplier=multiplier,
        )  # fmt: skip

    def _convolve(self, kind, x, out, kernel, stride, padding, dilation, weights, scales, **more):
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        pairs = zip(x.shape[1:3], stride, reach, strict=True)
        size = [-(-d // s) if padding == "SAME" else (d - r) // s + 1 for d, s, r in pairs]
        terms = int(np.prod(kernel)) * (x.shape[3] if kind == "CONV_2D" else 1)
        bias = self._bias(x, scales, out, terms)
        self.op(
            kind,
            [x.index, weights, *([bias] if bias >= 0 else [])],
            [self._weighted(x, scales, terms, (x.shape[0], *size, out))],
            padding=padding,
            stride_h=stride[0],
            stride_w=stride[1],
            dilation_h_factor=dilation[0],
            dilation_w_factor=dilation[1],
            fused_activation_function=self.pick(("NONE", "RELU", "RELU6")),
            **more,
        )

    def _weights(self, shape, axis):
        """Some channels nearly dead, as training leaves them: their shift is as far as it goes."""
        index, scales = super()._weights(shape, axis)
        if len(scales) > 2:
            scales[self.below(len(scales))] = np.float32(1e-10)
            quantization = self.builder.graph.tensors[index].quantization
            quantization.scale = [float(s) for s in scales]
        return index, scales

    def build(self):
        for node in self.nodes:
            if node.index not in self.builder.graph.inputs:
                self.builder.output(node.index)
        return self.builder.build()


def chosen(rng):
    """One layer at least for each function, its corners included."""
    made = Layers(rng)
    image = made.input((1, 8, 9, 6))
    made.conv_of(image, 5, (1, 1))
    made.conv_of(image, 8, (1, 1), stride=(2, 2))
    made.conv_of(image, 7, (3, 3))
    made.conv_of(image, 4, (3, 3), stride=(2, 2))
    made.conv_of(image, 3, (2, 3), dilation=(2, 3))
    made.conv_of(image, 9, (5, 4), padding="VALID")
    for stride in ((1, 1), (2, 2), (3, 1)):
        made.depthwise_of(image, 1, (3, 3), stride)
    made.depthwise_of(image, 1, (3, 3), padding="VALID")
    made.depthwise_of(image, 1, (5, 2))
    made.depthwise_of(image, 4, (3, 2))
    made.depthwise_of(image, 3, (3, 3), dilation=(2, 1))
    line = made.input((2, 1, 12, 5))
    made.conv_of(line, 6, (1, 3))
    made.conv_of(line, 3, (1, 4), stride=(1, 3))
    made.conv_of(line, 5, (1, 1))
    made.depthwise_of(line, 1, (1, 3))
    wide = made.input((1, 3, 3, 131))  # more channels than a block has, and an odd number
    made.depthwise_of(wide, 1, (3, 3))
    made.depthwise_of(wide, 1, (2, 2))
    made.conv_of(wide, 2, (3, 3))
    made.conv_of(wide, 6, (1, 1))
    for x in (image, line, wide):
        made.average_pool(x)
        made.max_pool(x)
    for batches, depth in ((1, 64), (1, 7), (5, 33)):
        x = made.input((batches, depth))
        for _ in range(3):
            made.fully_connected(x)
    return made.build()


def drawn(rng, count=24):
    """Random layers of few channels, batches included, over three inputs."""
    made = Layers(rng)
    for _ in range(3):
        x = made.input(made.shape(4))
        for _ in range(count // 3):
            name = made.pick(["conv", "conv", "depthwise", "depthwise", "average_pool", "max_pool"])
            getattr(made, name)(x)
        made.fully_connected(x)
    return made.build()


MODELS_OF = {"chosen": chosen, "drawn": drawn}
EVERYWHERE = {
    "arm_avgpool_s8",
    "arm_convolve_1x1_s8",
    "arm_convolve_1x1_s8_fast",
    "arm_depthwise_conv_s8",
    "arm_fully_connected_s8",
    "arm_max_pool_s8",
    "nn_cmsis_conv_s8",
}
PATHS = {
    "qemu-m4": EVERYWHERE | {"arm_depthwise_conv_3x3_s8", "arm_depthwise_conv_s8_opt"},
    "qemu-m55": EVERYWHERE
    | {"arm_depthwise_conv_s8_opt", "arm_convolve_1_x_n_s8", "nn_cmsis_fc_s8"},
}


@pytest.mark.parametrize("kind", MODELS_OF)
def test_plain_c_equals_the_reference(kind, campaign, tmp_path):
    """CMSIS-NN's path for cores without DSP, compiled for this machine."""
    board, used = load_board("qemu-m3"), set()
    for seed in range(2 * campaign):
        graph = import_tflite(MODELS_OF[kind](np.random.default_rng(seed)), "model")
        made = plan(graph, board, KernelSet.CMSIS_NN)
        capsule = HostCapsule(made, tmp_path, extra=cmsis_nn_arguments())
        reference, rng = Interpreter(graph), np.random.default_rng(seed)
        for run in range(6):
            inputs = sample_inputs(graph, rng, run)
            pairs = zip(
                reference.invoke(inputs), capsule.invoke(inputs), graph.outputs, strict=True
            )
            for expected, got, index in pairs:
                np.testing.assert_array_equal(got, expected, graph.tensor(index).name)
        used |= {step.kernel.function for step in made.steps}
    if kind == "chosen":
        assert used >= {"nn_cmsis_conv_s8", "arm_depthwise_conv_3x3_s8", "arm_fully_connected_s8"}


@pytest.mark.parametrize("name", ["qemu-m4", "qemu-m55"])
@pytest.mark.parametrize("kind", MODELS_OF)
def test_dsp_and_vectors_equal_the_reference(name, kind, campaign):
    """DSP and MVE instructions, on the virtual boards that have them: many layers a boot."""
    MODELS.mkdir(parents=True, exist_ok=True)
    for seed in range(100, 100 + campaign):
        model = MODELS / f"cmsis_{kind}_{seed}.tflite"
        model.write_bytes(MODELS_OF[kind](np.random.default_rng(seed)))
        row = bench(Request(load_board(name), model.relative_to(PROJECT), "cmsis-nn"))
        assert row.bit_exact, model
        assert sum(layer.kernels == "cmsis-nn" for layer in row.layers) > len(row.layers) / 2
        if kind == "chosen":
            paths = {layer.function for layer in row.layers if layer.kernels == "cmsis-nn"}
            assert paths == PATHS[name]


def test_what_cmsis_nn_gets_wrong_is_left_to_the_reference():
    made = Layers(np.random.default_rng(1))
    batch = made.input((2, 4, 4, 8))
    while not (made.average_pool(batch) and made.max_pool(batch)):
        pass  # the window drawn did not fit
    grouped, scales = made._weights((4, 3, 3, 4), 0)
    made._convolve("CONV_2D", batch, 4, (3, 3), (1, 1), "SAME", (1, 1), grouped, scales)
    graph = import_tflite(made.build(), "model")
    for step in plan(graph, load_board("qemu-m55"), KernelSet.CMSIS_NN).steps:
        assert step.kernel.set is KernelSet.REFERENCE, step.label


@pytest.mark.parametrize("name", ["host", "qemu-rv32", "qemu-xtensa"])
def test_other_cores_take_no_kernel_of_it(name):
    graph = import_tflite(chosen(np.random.default_rng(1)), "model")
    for step in plan(graph, load_board(name), KernelSet.CMSIS_NN).steps:
        assert step.kernel.set is KernelSet.REFERENCE
