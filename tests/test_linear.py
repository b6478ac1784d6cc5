"""One rounding in the place of two: outputs are the same for every sum that a channel can have."""

import numpy as np

from tinyseal.graph.fixedpoint import requantize_s8
from tinyseal.plan.kernels.linear import linear_words

RNG = np.random.default_rng(5)
CHANNELS = 300


def channels(gain: int, shifts: tuple[int, int]):
    """Random words as `dense.channels` makes them, and what their sums reach."""
    multiplier = RNG.integers(2**30, 2**31, CHANNELS)
    shift = RNG.integers(*shifts, CHANNELS)
    start = RNG.integers(-(2**16), 2**16, CHANNELS)
    rounding = (1 << (shift - 1)) - (128 << shift)
    most = np.minimum(300 << shift, 2 ** (30 - gain) - 2**18) - RNG.integers(0, 1000, CHANNELS)
    words = np.stack([start, multiplier, rounding, shift], axis=1)
    return words, np.stack([np.minimum(start, -most), np.maximum(start + 1, most)])


def outputs(words: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """nn_tuned_linear."""
    high = (sums * words[1] + 2**31) >> 32
    return np.clip((high + words[2]) >> words[3], -128, 127)


def check(words, reach, gain, shift):
    """Some channels may have no line; the lines of the others are right."""
    found = 0
    for i, (least, most) in enumerate(reach.T):
        lines = linear_words(
            words[i : i + 1], reach[:, i : i + 1], gain[i : i + 1], shift[i : i + 1]
        )
        if lines is None:
            continue
        found += 1
        (start, multiplier, _, e), line, k = map(int, words[i]), lines[0], gain[i]
        j = np.arange(1, 256)
        near = ((2 * j - 1 << (e + 30)) - 2**30) // multiplier  # about the thresholds
        spread = RNG.integers(least, most, 500, endpoint=True)
        sums = np.concatenate([*(near + d for d in (-1, 0, 1, 2)), spread, [least, most]])
        sums = sums[(sums >= least) & (sums <= most)]
        expected = requantize_s8(sums.copy(), multiplier, -e, -128, -128, 127)
        scaled = (sums - start << k) + line[0]
        assert abs(scaled).max() < 2**31
        np.testing.assert_array_equal(outputs(line, scaled), expected)
    assert found > 0.95 * CHANNELS


def test_halves_for_weights_share_a_shift_of_8():
    words, reach = channels(8, (1, 14))
    gain = np.maximum(0, 9 - words[:, 3])
    check(words, reach, gain, np.full(CHANNELS, 8))


def test_bytes_for_weights_share_a_shift_of_4_and_12():
    words, reach = channels(8, (5, 10))
    gain = np.resize([0, 8], CHANNELS)
    check(words, reach, gain, 4 + gain)


def test_a_channel_of_one_value_keeps_it():
    words = np.array([[0, 0, 2 * 37 + 1, 1]])
    lines = linear_words(words, np.array([[-5], [5]]), np.array([3]), np.array([8]))
    assert lines is not None and outputs(lines[0], np.array([-40, 12345])).tolist() == [37, 37]


def test_what_the_multiplier_cannot_hold_has_no_line():
    words = np.array([[0, 2**31 - 1, 4 - (128 << 3), 3]])
    reach = np.array([[-1000], [1000]])
    assert linear_words(words, reach, np.array([0]), np.array([4])) is None
    assert linear_words(words, reach, np.array([0]), np.array([2])) is not None


def test_sums_too_large_to_scale_have_no_line():
    words = np.array([[0, 2**30, 4 - (128 << 3), 3]])
    assert linear_words(words, np.array([[-5], [2**27]]), np.array([6]), np.array([8])) is None
