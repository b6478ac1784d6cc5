"""How soon drift of digits is seen, and how often none is taken for some: the device's statistics,
on streams of the test images that the reference does not know.

    .venv/bin/python examples/observe/drift.py build/digits_reference.npy
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tinyseal.build.firmware import ROOT
from tinyseal.graph.load import load_model
from tinyseal.graph.reference_statistics import build_reference, observe, quantised
from tinyseal.graph.statistics import bins_of, distances, faded

MODEL = "models/digits_int8.tflite"
WINDOW = 256
SLOW_START = 8
CLEAN = 1000  # windows
STREAMS = 10  # of each kind of drift
LONGEST = 20  # windows that drift is waited for

Images = np.ndarray


def test_images() -> tuple[Images, np.ndarray]:
    with np.load(ROOT / "examples/digits/test.npz") as loaded:
        return (loaded["images"] / 8 - 1).astype(np.float32)[..., None], loaded["labels"]


def main(path: Path) -> None:
    graph = load_model(ROOT / MODEL)
    reference = build_reference(graph, np.load(path), WINDOW)
    images, labels = test_images()
    rng = np.random.default_rng(1)
    kinds: dict[str, tuple[Images, np.ndarray]] = {
        "none": (images, np.arange(len(images))),
        "gain 0.9": ((images + 1) * 0.9 - 1, np.arange(len(images))),
        "gain 0.7": ((images + 1) * 0.7 - 1, np.arange(len(images))),
        "noise 0.1": (images + rng.normal(0, 0.1, images.shape), np.arange(len(images))),
        "noise 0.3": (images + rng.normal(0, 0.3, images.shape), np.arange(len(images))),
        "dead column": (_dead(images), np.arange(len(images))),
        "classes 0 to 4 twice": (images, _mixed(labels)),
        "only classes 0 to 4": (images, np.flatnonzero(labels < 5)),
    }
    streams = {}
    for name, (values, pool) in kinds.items():
        seen = observe(graph, reference.layout, quantised(graph, values.astype(np.float32)))
        cells = [
            bins_of(v, f.edges) for v, f in zip(seen.values.T, reference.features, strict=False)
        ]
        streams[name] = (np.stack([*cells, seen.classes]), pool)

    def windows(first: str, then: str, before: int, count: int) -> list[bool]:
        slow = [[0] * len(d.shares[: 8 if i < len(cells) else seen.class_count])
                for i, d in enumerate(reference.distributions)]  # fmt: skip
        out = []
        for w in range(before + count):
            taken, pool = streams[first if w < before else then]
            drawn = taken[:, rng.choice(pool, WINDOW)]
            beyond = False
            for i, d in enumerate(reference.distributions):
                counts = np.bincount(drawn[i], minlength=len(slow[i])).tolist()
                slow[i] = [faded(s, c, w == 0) for s, c in zip(slow[i], counts, strict=False)]
                is_ordered = i < len(reference.features)
                found = distances(counts, slow[i], d.shares, is_ordered)
                judged = range(4 if w >= SLOW_START else 3)
                beyond |= any(found[s] > d.limits[s] for s in judged)
            out.append(beyond)
        return out

    false = sum(windows("none", "none", 0, CLEAN))
    print(f"false alarms in {CLEAN} windows of {WINDOW} without drift: {false}")
    print(f"{'drift':22}{'seen in':>10}{'windows until then, mean':>28}{'most':>6}")
    for name in list(kinds)[1:]:
        delays = []
        for _ in range(STREAMS):
            found = windows("none", name, 10, LONGEST)[10:]
            delays.append(found.index(True) + 1 if True in found else None)
        there = [d for d in delays if d is not None]
        mean = f"{np.mean(there):.1f}" if there else "-"
        most = max(there, default="-")
        print(f"{name:22}{len(there):>7}/{STREAMS}{mean:>28}{most:>6}")


def _dead(images: Images) -> Images:
    out = images.copy()
    out[:, :, 3] = -1
    return out


def _mixed(labels: np.ndarray) -> np.ndarray:
    low = np.flatnonzero(labels < 5)
    return np.concatenate([np.arange(len(labels)), low])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
