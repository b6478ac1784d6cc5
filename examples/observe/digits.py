"""Writes a reference and streams of digits: the training half of scikit-learn's digits, as the
network sees them; and the test images that it does not know, without drift and with some.

    .venv/bin/python examples/observe/digits.py build/digits.npy build/digits_streams.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and test images (n, 8, 8, 1), then their labels; the split that the network was
    trained with (examples/digits/network.py)."""
    digits = load_digits()
    train, test, labels, test_labels = train_test_split(
        digits.images, digits.target, test_size=360, random_state=7, stratify=digits.target
    )
    return as_input(train), as_input(test), labels, test_labels


def as_input(images: np.ndarray) -> np.ndarray:
    return (images / 8 - 1)[..., None].astype(np.float32)


def drifted(images: np.ndarray) -> dict[str, np.ndarray]:
    """Inputs lie from -1 to 1."""
    rng = np.random.default_rng(1)
    dead = images.copy()
    dead[:, :, 3] = -1
    pixel = images.copy()
    pixel[:, 4, 4] = -1
    return {
        "gain 0.9": (images + 1) * 0.9 - 1,
        "gain 0.7": (images + 1) * 0.7 - 1,
        "noise of 0.1": images + rng.normal(0, 0.1, images.shape),
        "noise of 0.3": images + rng.normal(0, 0.3, images.shape),
        "a dead column": dead,
        "one dead pixel of 64": pixel,
        "two columns swapped": images[:, :, [0, 1, 5, 3, 4, 2, 6, 7]],
        "offset of 0.1": images + 0.1,
    }


if __name__ == "__main__":
    reference, streams = map(Path, sys.argv[1:])
    for path in (reference, streams):
        path.parent.mkdir(parents=True, exist_ok=True)
    train, test, _, _ = split()
    np.save(reference, train)
    later = {name: values.astype(np.float32) for name, values in drifted(test).items()}
    np.savez(streams, none=test, **later)
