"""The arena: nothing that lives at once overlaps, nothing is wasted that need not be."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.host_capsule import HostCapsule
from tinyseal.board import Memory
from tinyseal.errors import PlanError
from tinyseal.graph.ir import (
    ArithmeticAttrs,
    DType,
    FullyConnectedAttrs,
    Graph,
    NoAttrs,
    Op,
    OpKind,
    Quant,
    Tensor,
)
from tinyseal.graph.lowering import Lowered, Params
from tinyseal.graph.ops.pooling import AveragePool2D
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.plan.arena import (
    ALIGN,
    NO_SLIDES,
    Block,
    Slides,
    lower_bound,
    pack,
    place,
    widest_step,
)
from tinyseal.plan.choose import candidates, kernel_set
from tinyseal.plan.kernels.kernel import Kernel, KernelSet
from tinyseal.plan.kernels.lag import window_lag
from tinyseal.plan.lifetimes import Layer, share
from tinyseal.plan.model import Plan
from tinyseal.plan.planner import draft, plan
from tinyseal.profiles import load_board

HOST = load_board("host")
MODELS = Path(__file__).resolve().parents[1] / "models"


def board(*arenas: int):
    """The host with RAM regions of these arena budgets."""
    memory = tuple(
        Memory(name=f"ram{i}", kind="ram", base=i << 28, bytes=1 << 27, arena_bytes=b)
        for i, b in enumerate(arenas)
    )
    return HOST.model_copy(update={"memory": memory})


# Packing


blocks = st.lists(
    st.builds(
        lambda size, first, length, pinned: (
            Block(size, -1, 30, True) if pinned else Block(size, first, first + length)
        ),
        st.integers(0, 300),
        st.integers(-1, 20),
        st.integers(0, 9),
        st.sampled_from([True] + [False] * 9),
    ),
    min_size=1,
    max_size=25,
)


def assert_sound(
    placed: Sequence[Block], offsets: Sequence[int], size: int, slides: Slides = NO_SLIDES
) -> None:
    for i, a in enumerate(placed):
        assert offsets[i] >= 0 and offsets[i] % ALIGN == 0
        assert offsets[i] + a.bytes <= size or a.bytes == 0
        for j, b in enumerate(placed[:i]):
            if a.bytes and b.bytes and a.meets(b):
                apart = offsets[i] + a.bytes <= offsets[j] or offsets[j] + b.bytes <= offsets[i]
                behind = any(
                    (p, q) in slides and offsets[p] + slides[p, q] <= offsets[q]
                    for p, q in ((i, j), (j, i))
                )
                assert apart or behind, (i, j)


@given(blocks)
def test_packed_blocks_never_overlap_while_both_are_held(items):
    packing = pack(items)
    assert_sound(items, packing.offsets, packing.bytes)
    assert widest_step(items)[1] <= packing.bytes
    assert packing == pack(items)
    floor = max((packing.offsets[i] + b.bytes for i, b in enumerate(items) if b.pinned), default=0)
    assert all(packing.offsets[i] >= floor for i, b in enumerate(items) if b.bytes and not b.pinned)


@settings(max_examples=25)
@given(blocks, st.integers(0, 1500), st.integers(0, 3000))
def test_spread_blocks_lie_soundly_in_every_region(items, fast, slow):
    budgets = (fast, slow)
    placement = place(items, budgets)
    for region in range(2):
        members = [i for i in range(len(items)) if placement.regions[i] == region]
        assert_sound(
            [items[i] for i in members],
            [placement.offsets[i] for i in members],
            placement.bytes[region],
        )
    if placement.excess(budgets) == 0:
        assert placement.bytes[0] <= fast and placement.bytes[1] <= slow


@st.composite
def chains(draw):
    """Blocks of a chain of layers, each of which may overlap the next, and some bystanders."""
    sizes = draw(st.lists(st.integers(1, 300), min_size=2, max_size=8))
    items = [Block(size, k - 1, k) for k, size in enumerate(sizes)]
    slides = {
        (k + 1, k): draw(st.integers(0, 320)) for k in range(len(sizes) - 1) if draw(st.booleans())
    }
    for size, first, length in draw(st.lists(st.tuples(*[st.integers(0, 7)] * 3), max_size=3)):
        items.append(Block(20 * size, first, first + length))
    return items, slides


@given(chains())
@example(([Block(227, -1, 0), Block(195, 0, 1), Block(257, 1, 2), Block(226, 2, 3), Block(1, 3, 4)],
          {(2, 1): 49}))  # fmt: skip
def test_sliding_blocks_keep_their_distance_and_the_bound(chain):
    items, slides = chain
    packing = pack(items, slides=slides)
    assert_sound(items, packing.offsets, packing.bytes, slides)
    assert lower_bound(items, slides) <= packing.bytes <= pack(items).bytes


def random_window(chance: random.Random) -> AveragePool2D:
    """Any geometry at all; more than TFLite's paddings allow."""

    def axis() -> tuple[int, int, int, int, int, int]:
        taps, stride = chance.randrange(1, 4), chance.randrange(1, 4)
        dilation, size = chance.choice([1, 1, 2]), chance.randrange(1, 9)
        pad = chance.randrange(0, (taps - 1) * dilation + 1)
        return size, (size + pad - 1) // stride + 1, taps, stride, dilation, pad

    in_h, out_h, filter_h, stride_h, dilation_h, pad_h = axis()
    in_w, out_w, filter_w, stride_w, dilation_w, pad_w = axis()
    return AveragePool2D(
        batches=chance.randrange(1, 3), in_h=in_h, in_w=in_w, in_ch=chance.randrange(1, 5),
        out_h=out_h, out_w=out_w, out_ch=chance.randrange(1, 5), filter_h=filter_h,
        filter_w=filter_w, stride_h=stride_h, stride_w=stride_w, dilation_h=dilation_h,
        dilation_w=dilation_w, pad_h=pad_h, pad_w=pad_w, act_min=-128, act_max=127,
    )  # fmt: skip


def test_lag_keeps_a_kernel_from_overtaking_itself():
    """The C loops of conv, depthwise and pool, walked pixel by pixel."""
    chance = random.Random(1)
    for _ in range(200):
        w = random_window(chance)
        lag, written = window_lag(w, HOST), 0
        for b, y, x in product(range(w.batches), range(w.out_h), range(w.out_w)):
            written += w.out_ch
            reads = [
                ((b * w.in_h + at_y) * w.in_w + at_x) * w.in_ch
                for ty, tx in product(range(w.filter_h), range(w.filter_w))
                if 0 <= (at_y := y * w.stride_h - w.pad_h + ty * w.dilation_h) < w.in_h
                and 0 <= (at_x := x * w.stride_w - w.pad_w + tx * w.dilation_w) < w.in_w
            ]
            # What this pixel has written, itself included, lies below what it reads.
            assert not reads or written - lag <= min(reads)


def test_hot_blocks_take_the_fast_region():
    items = [Block(1000, 0, 1, heat=1.0), Block(100, 0, 1, heat=50.0), Block(900, 0, 1, heat=2.0)]
    assert place(items, (1024, 4096)).regions == (1, 0, 0)
    assert place(items, (4096, 4096)).regions == (0, 0, 0)


def test_search_meets_the_bound_where_greedy_orders_do_not():
    chance = random.Random(3)
    worse = 0
    for _ in range(60):
        items = []
        for _ in range(14):
            first = chance.randrange(12)
            items.append(Block(16 * chance.randrange(1, 40), first, first + chance.randrange(5)))
        greedy, searched = pack(items, thorough=False), pack(items)
        assert searched.bytes <= greedy.bytes
        worse += searched.bytes < greedy.bytes
    assert worse > 5


# Lifetimes, on random graphs whose values are followed byte by byte


class Token(Params):
    """Stands for any operator: only its tensors matter here."""

    def run(self, inputs, state):
        raise AssertionError("not run")


def token_kernel(in_place: tuple[int, ...]) -> Kernel:
    return Kernel(KernelSet.REFERENCE, "token", Token, lambda p, b: 1.0, in_place=in_place)


@st.composite
def random_networks(draw):
    """(graph, layers, aliases): random operators, aliases, state, repeated and unused tensors."""
    tensors: list[Tensor] = []

    def tensor(size: int, variable: bool = False) -> int:
        index = len(tensors)
        tensors.append(Tensor(index, f"t{index}", (size,), DType.S8, is_variable=variable))
        return index

    sizes = st.sampled_from([1, 16, 40, 64, 64, 200])
    inputs = [tensor(draw(sizes)) for _ in range(draw(st.integers(1, 3)))]
    known, layers, aliases = list(inputs), [], {}
    for number in range(draw(st.integers(1, 14))):
        if draw(st.integers(0, 4)) == 0:
            source = draw(st.sampled_from(known))
            alias = tensor(tensors[source].bytes)
            aliases[alias] = aliases.get(source, source)
            known.append(alias)
            continue
        reads = [draw(st.sampled_from(known)) for _ in range(draw(st.integers(1, 3)))]
        same = [tensors[reads[0]].bytes] * 3
        writes = [
            tensor(draw(st.one_of(sizes, st.sampled_from(same))))
            for _ in range(draw(st.sampled_from([1, 1, 1, 2])))
        ]
        state = (tensor(draw(sizes), True),) if draw(st.integers(0, 7)) == 0 else ()
        in_place = tuple(p for p in range(len(reads)) if draw(st.booleans()))
        op = Op(number, OpKind.ADD, 1, tuple(reads), tuple(writes))
        lowered = Lowered(op, Token(), tuple(reads), tuple(writes), state)
        scratch, lag = draw(st.sampled_from([0, 0, 33])), draw(st.sampled_from([None, 0, 20, 70]))
        layers.append(Layer(lowered, token_kernel(in_place), scratch, 1, lag))
        known += writes
    outputs = tuple(draw(st.sampled_from(known)) for _ in range(draw(st.integers(1, 3))))
    graph = Graph("g", "0" * 64, tuple(tensors), (), tuple(inputs), outputs)
    return graph, layers, aliases


@settings(max_examples=200)
@given(random_networks(), st.sampled_from(["first", "last", "never"]))
def test_every_value_survives_until_its_last_reader(network, prefer):
    graph, layers, aliases = network
    shares = share(graph, layers, aliases, prefer)
    placement = place(shares.blocks, (10**6,), shares.slides)
    memory: list[object] = [None] * placement.bytes[0]

    def where(block: int, size: int) -> range:
        offset = placement.offsets[block]
        assert offset + size <= placement.bytes[0]
        return range(offset, offset + size)

    def bytes_of(tensor: int) -> range:
        return where(shares.of_tensor[tensor], graph.tensor(tensor).bytes)

    def write(tensor: int) -> None:
        value = aliases.get(tensor, tensor)
        for i, at in enumerate(bytes_of(tensor)):
            memory[at] = (value, i)

    def check(tensor: int) -> None:
        value = aliases.get(tensor, tensor)
        for i, at in enumerate(bytes_of(tensor)):
            assert memory[at] == (value, i), f"tensor {tensor} was overwritten"

    def slide(source: int, target: int, lag: int) -> None:
        """Byte k of the target is written when source bytes below k - lag + 1 are done with."""
        taken, given = bytes_of(source), bytes_of(target)
        for k in range(-max(lag, 0), max(len(taken), len(given))):
            if 0 <= k < len(taken):
                assert memory[taken[k]] == (aliases.get(source, source), k), "overtaken"
            if 0 <= k + lag < len(given):
                memory[given[k + lag]] = (aliases.get(target, target), k + lag)

    variables = [t.index for t in graph.tensors if t.is_variable]
    for inference in range(2):
        for index in graph.inputs:
            write(index)
        if inference == 0:
            for index in variables:
                write(index)
                assert bytes_of(index).stop <= placement.pinned_bytes[0]
        for step, layer in enumerate(layers):
            reads, writes = layer.lowered.inputs, layer.lowered.outputs
            for index in (*reads, *layer.lowered.state):
                check(index)
            scratch = where(shares.of_scratch[step], layer.scratch) if layer.scratch else range(0)
            for at in scratch:
                memory[at] = "scratch"
            # A kernel reads while it writes: what it may not overwrite must still be there.
            source, target = shares.of_tensor[reads[0]], shares.of_tensor[writes[0]]
            lag = shares.slides.get((target, source))
            if lag is None:
                for index in writes:
                    write(index)
            else:
                slide(reads[0], writes[0], lag)
            for position, index in enumerate(reads):
                in_step = position in layer.kernel.in_place and len(writes) == 1
                slid = lag is not None and shares.of_tensor[index] == source
                if not slid and (not in_step or prefer == "never"):
                    check(index)
            for index in writes:
                check(index)
            assert all(memory[at] == "scratch" for at in scratch)
        for index in (*graph.outputs, *variables):
            check(index)


@settings(max_examples=50)
@given(random_networks(), st.randoms(use_true_random=False))
def test_placement_does_not_depend_on_the_order_of_dicts(network, chance):
    graph, layers, aliases = network
    items = list(aliases.items())
    chance.shuffle(items)
    one, other = share(graph, layers, aliases, "first"), share(graph, layers, dict(items), "first")
    assert one.blocks == other.blocks and one.of_tensor == other.of_tensor


# Whole graphs, run as generated C against the reference


S8 = Quant((0.1,), (2,))


class Net:
    """Builds small int8 graphs."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.rng = np.random.default_rng(7)

    def tensor(self, *shape: int, data=None, dtype=DType.S8, quant=S8) -> int:
        index = len(self.tensors)
        self.tensors.append(Tensor(index, f"t{index}", shape, dtype, quant, data))
        return index

    def constant(self, *shape: int) -> int:
        return self.tensor(*shape, data=self.rng.integers(-128, 128, shape, dtype=np.int8))

    def op(self, kind: OpKind, inputs, output: int, attrs) -> int:
        self.ops.append(Op(len(self.ops), kind, 1, tuple(inputs), (output,), attrs))
        return output

    def reshape(self, source: int, *shape: int) -> int:
        return self.op(OpKind.RESHAPE, (source,), self.tensor(*shape), NoAttrs())

    def add(self, a: int, b: int) -> int:
        out = self.tensor(*self.tensors[a].shape)
        return self.op(OpKind.ADD, (a, b), out, ArithmeticAttrs())

    def dense(self, source: int, depth: int) -> int:
        batches, in_depth = self.tensors[source].shape
        weights = self.tensor(
            depth, in_depth,
            data=self.rng.integers(-127, 128, (depth, in_depth), dtype=np.int8),
            quant=Quant((0.02,), (0,)),
        )  # fmt: skip
        out = self.tensor(batches, depth)
        return self.op(OpKind.FULLY_CONNECTED, (source, weights, None), out, FullyConnectedAttrs())

    def graph(self, inputs, outputs) -> Graph:
        return Graph(
            "net", "00" * 32, tuple(self.tensors), tuple(self.ops), tuple(inputs), tuple(outputs)
        )


def run_both(graph: Graph, folder) -> Plan:
    """Reference and generated C, compared on random inputs."""
    made = plan(graph, HOST)
    capsule, reference = HostCapsule(made, folder), Interpreter(graph)
    rng = np.random.default_rng(2)
    for _ in range(4):
        values = [
            rng.integers(-128, 128, graph.tensor(i).shape, dtype=np.int8) for i in graph.inputs
        ]
        for got, want in zip(capsule.invoke(values), reference.invoke(values), strict=True):
            np.testing.assert_array_equal(got, want)
    return made


def test_in_place_addition_takes_the_memory_of_the_operand_that_dies(tmp_path):
    net = Net()
    x = net.tensor(2, 32)
    a, b = net.dense(x, 32), net.dense(x, 32)
    made = run_both(net.graph([x], [net.add(a, b)]), tmp_path)
    assert made.arena_bytes == (3 * 64,) and made.arena_lower_bound == 3 * 64
    assert made.buffers[net.ops[-1].outputs[0]] in (made.buffers[a], made.buffers[b])


def test_addition_in_place_spares_what_is_read_later(tmp_path):
    net = Net()
    x = net.tensor(2, 32)
    total = net.add(x, x)
    made = run_both(net.graph([x], [net.add(total, x), total]), tmp_path)
    assert made.arena_bytes == (2 * 64,)  # the last sum takes the input's place
    assert made.arena_lower_bound == 2 * 64


def test_input_constant_and_repeated_tensors_may_be_outputs(tmp_path):
    net = Net()
    x, y, c = net.tensor(2, 8), net.tensor(2, 8), net.constant(2, 8)
    total = net.add(x, c)
    made = run_both(net.graph([x, y], [x, c, total, y, c, total]), tmp_path)
    assert [s.label for s in made.steps] == ["add_0", "reshape_2"]


def test_alias_and_source_are_both_read_later_and_both_outputs(tmp_path):
    net = Net()
    x = net.tensor(2, 16)
    a = net.dense(x, 16)
    flat = net.reshape(a, 1, 32)
    again = net.reshape(flat, 4, 8)
    b = net.add(a, a)  # must not take a's memory: flat and again are still to be read
    c = net.add(net.reshape(b, 4, 8), again)
    made = run_both(net.graph([x], [flat, c, a]), tmp_path)
    assert made.buffers[a] == made.buffers[flat] == made.buffers[again]
    assert [s.label for s in made.steps] == ["fully_connected_0", "add_3", "add_5"]
    assert made.arena_bytes[0] == made.arena_lower_bound == 2 * 32


def test_in_place_through_an_alias_waits_for_the_source(tmp_path):
    net = Net()
    x = net.tensor(2, 16)
    a = net.dense(x, 16)
    flat = net.reshape(a, 1, 32)
    total = net.add(flat, net.constant(1, 32))  # a is read once more
    made = run_both(net.graph([x], [total, net.dense(a, 3)]), tmp_path)
    assert made.buffers[total] != made.buffers[a]


def test_alias_of_a_graph_input_may_be_an_output(tmp_path):
    net = Net()
    x = net.tensor(2, 16)
    flat = net.reshape(x, 1, 32)
    total = net.add(x, x)
    made = run_both(net.graph([x], [flat, total]), tmp_path)
    assert made.buffers[flat] == made.buffers[x] != made.buffers[total]


def test_alias_of_a_constant_is_copied_at_every_inference(tmp_path):
    net = Net()
    x, c = net.tensor(2, 16), net.constant(1, 32)
    shaped = net.reshape(c, 2, 16)
    total = net.add(x, shaped)
    made = run_both(net.graph([x], [total, net.add(total, x)]), tmp_path)
    assert [s.kernel.function for s in made.steps] == ["memcpy", "nn_add_s8", "nn_add_s8"]
    run_both(net.graph([x], [shaped, total, net.reshape(c, 4, 8)]), tmp_path)


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_give_the_references_bytes(tmp_path, seed):
    chance = random.Random(seed)
    net = Net()
    inputs = [net.tensor(2, 16) for _ in range(chance.randrange(1, 4))]
    wide = [*inputs, net.constant(2, 16)]
    others: list[int] = []
    for _ in range(chance.randrange(4, 20)):
        kind = chance.randrange(6)
        if kind < 3:
            wide.append(net.add(chance.choice(wide), chance.choice(wide)))
        elif kind == 3:
            wide.append(net.dense(chance.choice(wide), 16))
        elif kind == 4:
            flat = net.reshape(chance.choice(wide), 4, 8)
            others.append(flat)
            wide.append(net.reshape(flat, 2, 16))
        else:
            others.append(net.dense(chance.choice(wide), chance.randrange(1, 40)))
    outputs = [chance.choice(wide + others) for _ in range(chance.randrange(1, 5))]
    graph = net.graph(inputs, outputs)
    made = run_both(graph, tmp_path)
    assert made.arena_lower_bound <= made.arena_bytes[0]
    capsule, reference = HostCapsule(plan(graph, HOST, reuse=False), tmp_path), Interpreter(graph)
    values = [np.full((2, 16), 3 * i - 4, np.int8) for i in range(len(inputs))]
    capsule.invoke(values)
    wanted = reference.invoke_all(values)
    for op in graph.ops:
        np.testing.assert_array_equal(capsule.tensor(op.outputs[0]), wanted[op.outputs[0]])


# The models of MLPerf Tiny


LIMITS = {"kws": 18_000, "ic": 51_000, "vww": 57_000, "ad": 1_600}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("kernels", ["reference", "cmsis-nn", "auto"])
@pytest.mark.parametrize("board_name", ["qemu-m4", "qemu-m55"])
def test_mlperf_tiny_arena_is_within_its_limit(name, kernels, board_name):
    graph = import_tflite((MODELS / f"{name}_int8.tflite").read_bytes(), name)
    made = plan(graph, load_board(board_name), kernel_set(kernels))
    assert made.arena_lower_bound <= sum(made.arena_bytes) <= LIMITS[name]
    if kernels == "reference":  # scratch of CMSIS-NN can leave the bound out of reach
        assert sum(made.arena_bytes) == made.arena_lower_bound


@pytest.mark.parametrize("name", LIMITS)
def test_mlperf_tiny_outputs_survive_overlapping_layers(name, tmp_path):
    graph = import_tflite((MODELS / f"{name}_int8.tflite").read_bytes(), name)
    made = plan(graph, HOST, KernelSet.REFERENCE)
    capsule, reference = HostCapsule(made, tmp_path), Interpreter(graph)
    value = np.random.default_rng(4).integers(
        -128, 128, graph.tensor(graph.inputs[0]).shape, dtype=np.int8
    )
    wanted = reference.invoke_all([value])
    np.testing.assert_array_equal(capsule.invoke([value])[0], wanted[graph.outputs[0]])
    # Logits, too: the softmax hides much.
    whole = HostCapsule(plan(graph, HOST, KernelSet.REFERENCE, reuse=False), tmp_path)
    whole.invoke([value])
    for op in graph.ops:
        np.testing.assert_array_equal(whole.tensor(op.outputs[0]), wanted[op.outputs[0]])


def test_keyword_spotting_fits_16_kb_of_ram_with_leaner_kernels():
    graph = import_tflite((MODELS / "kws_int8.tflite").read_bytes(), "kws")
    made = plan(graph, load_board("qemu-m0"))
    assert made.arena_bytes[0] <= 10_560


def test_planning_a_large_network_takes_bounded_work():
    net = Net()
    chance = random.Random(5)
    live = [net.tensor(2, 16)]
    inputs = list(live)
    for _ in range(300):
        live.append(net.dense(chance.choice(live[-12:]), 16 * chance.randrange(1, 9))
                    if chance.random() < 0.8 else net.add(live[-1], live[-1]))  # fmt: skip
    graph = net.graph(inputs, live[-1:])
    started = time.process_time()
    made = plan(graph, HOST)
    assert time.process_time() - started < 5
    assert made.arena_bytes[0] <= 1.1 * made.arena_lower_bound


def test_graph_without_operators_is_a_capsule(tmp_path):
    net = Net()
    x = net.tensor(1, 5)
    made = plan(net.graph([x], [x]), HOST)
    capsule = HostCapsule(made, tmp_path)
    value = np.arange(5, dtype=np.int8).reshape(1, 5)
    np.testing.assert_array_equal(capsule.invoke([value])[0], value)


def test_unused_inputs_and_outputs_take_no_memory_longer_than_they_must(tmp_path):
    net = Net()
    x, unused = net.tensor(2, 8), net.tensor(2, 8)
    first = net.dense(x, 8)
    net.dense(first, 8)  # read by nobody
    made = run_both(net.graph([x, unused], [net.dense(first, 8)]), tmp_path)
    assert made.arena_bytes == (32,)


def test_without_reuse_every_tensor_keeps_its_value(tmp_path):
    net = Net()
    x = net.tensor(2, 32)
    a, b = net.dense(x, 32), net.dense(x, 16)
    total = net.add(a, a)
    graph = net.graph([x], [net.dense(total, 4), b])
    made = plan(graph, HOST, reuse=False)
    places = sorted((made.buffers[i].offset, made.buffers[i].bytes) for i in made.buffers)
    assert all(low + size <= high for (low, size), (high, _) in pairwise(places))
    capsule, reference = HostCapsule(made, tmp_path), Interpreter(graph)
    value = net.rng.integers(-128, 128, (2, 32), dtype=np.int8)
    capsule.invoke([value])
    wanted = reference.invoke_all([value])
    for index in (x, a, b, total):
        np.testing.assert_array_equal(capsule.tensor(index), wanted[index])


def test_two_regions_are_used_when_the_fast_one_is_short(tmp_path):
    net = Net()
    x = net.tensor(1, 64)
    a = net.dense(x, 256)
    graph = net.graph([x], [net.dense(a, 8)])
    made = plan(graph, board(128, 4096))
    assert made.arena_bytes[0] <= 128 and made.arena_bytes[1] == 256
    assert made.buffers[a].region == 1 and made.buffers[x].region == 0
    capsule, reference = HostCapsule(made, tmp_path), Interpreter(graph)
    value = net.rng.integers(-128, 128, (1, 64), dtype=np.int8)
    np.testing.assert_array_equal(capsule.invoke([value])[0], reference.invoke([value])[0])


def test_refusal_names_board_need_room_and_largest_tensor():
    net = Net()
    x = net.tensor(1, 64)
    graph = net.graph([x], [net.dense(net.dense(x, 256), 8)])
    with pytest.raises(PlanError) as caught:
        plan(graph, board(300))
    assert str(caught.value) == (
        "host: arena needs 320 B, 300 B free; largest: fully_connected_0 output, 256 B; "
        "try a smaller input or a board with more RAM"
    )
    with pytest.raises(PlanError, match=r"arena needs 320 B, free: ram0 100 B \+ ram1 200 B"):
        plan(graph, board(100, 200))
    assert not draft(graph, board(300)).fits


# Kernel choice


def test_wanted_set_falls_back_to_reference_per_layer():
    item = Lowered(Op(0, OpKind.ADD, 1, (0,), (1,)), Token(), (0,), (1,))

    def kernel(which: KernelSet, instructions: float, able: bool = True) -> Kernel:
        return Kernel(
            which, f"{which.value}", Token, lambda p, b: instructions, supports=lambda p, b: able
        )

    reference = kernel(KernelSet.REFERENCE, 10.0)
    cmsis, tuned = kernel(KernelSet.CMSIS_NN, 5.0), kernel(KernelSet.TUNED, 20.0)
    offered = [reference, tuned, cmsis]

    def best(wanted: KernelSet | None, kernels: Sequence[Kernel] = offered) -> Kernel:
        return candidates(item, HOST, wanted, kernels=kernels)[0].kernel

    assert best(None) is cmsis
    assert best(KernelSet.TUNED) is tuned
    assert best(KernelSet.REFERENCE) is reference
    unable = kernel(KernelSet.CMSIS_NN, 1.0, able=False)
    assert best(KernelSet.CMSIS_NN, [reference, unable, tuned]) is reference
    with pytest.raises(PlanError, match=r"host: no kernel runs add_0 on host; try kernels=tuned"):
        best(KernelSet.CMSIS_NN, [tuned])


@pytest.mark.parametrize(
    ("board_name", "name", "counted"),
    [
        ("qemu-m4", "kws", 22_443_333),
        ("qemu-m4", "ic", 79_367_250),
        ("qemu-m4", "vww", 63_114_294),
        ("qemu-m4", "ad", 1_087_655),
        ("qemu-m0", "kws", 42_474_833),
        ("qemu-m55", "kws", 18_693_288),
        ("qemu-rv32", "kws", 26_392_704),
        ("qemu-rv32", "ic", 99_376_414),
    ],
)
def test_estimate_is_near_what_bench_has_counted(board_name, name, counted):
    graph = import_tflite((MODELS / f"{name}_int8.tflite").read_bytes(), name)
    made = plan(graph, load_board(board_name), KernelSet.REFERENCE)
    assert made.instructions == pytest.approx(counted, rel=0.25)


def test_kernel_sets_by_name():
    assert kernel_set("auto") is None
    assert kernel_set("cmsis-nn") is KernelSet.CMSIS_NN
    with pytest.raises(PlanError, match="no kernel set 'fast'; kernels: auto, reference, cmsis-nn"):
        kernel_set("fast")
