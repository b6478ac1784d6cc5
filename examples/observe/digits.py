"""Writes the calibration samples of the digits network: the training half of scikit-learn's digits,
as the network sees them, in real numbers.

    .venv/bin/python examples/observe/digits.py build/digits_reference.npy
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


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, split()[0])
