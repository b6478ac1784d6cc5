"""A fleet whose records a device's own statistics made, in a database."""

from __future__ import annotations

import numpy as np
from sqlalchemy import Engine

from support.observed import Statistics, signed
from tinyseal.build.firmware import ROOT
from tinyseal.fleet.consent import Level
from tinyseal.fleet.telemetry import store
from tinyseal.graph.load import load_model
from tinyseal.graph.reference_statistics import Reference, build_reference, outputs_of, quantised

DIGITS = load_model(ROOT / "models/digits_int8.tflite")
WINDOW = 32
STEADY, DRIFTED, FAULTY, SILENT = (bytes([n] * 16).hex() for n in (0xA1, 0xB2, 0xC3, 0xD4))


def digits() -> np.ndarray:
    with np.load(ROOT / "examples/digits/test.npz") as loaded:
        return quantised(DIGITS, (loaded["images"] / 8 - 1).astype(np.float32)[..., None])


def store_fleet(engine: Engine, windows: int = 60) -> Reference:
    """One device without drift, one that begins to drift after two thirds, one that restarts
    by faults, and one that tells its health only."""
    images = digits()
    reference = build_reference(DIGITS, images, WINDOW)
    outputs = outputs_of(DIGITS, images)
    dead = images.copy()
    dead[:, :, 3] = -128
    dead_outputs = outputs_of(DIGITS, dead)
    rng = np.random.default_rng(5)
    for device, level, restarts in (
        (STEADY, Level.AGGREGATED, 1), (DRIFTED, Level.AGGREGATED, 1),
        (FAULTY, Level.AGGREGATED, 3), (SILENT, Level.HEALTH, 1),
    ):  # fmt: skip
        made = Statistics(64, 10, reference)
        made.provision()
        made.start(active_uw=21_000, cause=0)
        assert made.allow(signed(level)) == 0
        after = 0
        for window in range(windows):
            if restarts > 1 and window and window % (windows // restarts) == 0:
                made.start(active_uw=21_000, cause=2)
            is_dead = device == DRIFTED and window >= 2 * windows // 3
            taken = dead if is_dead else images
            given = dead_outputs if is_dead else outputs
            for i in rng.integers(0, len(images), WINDOW):
                made.infer(taken[i], given[i], int(rng.gamma(40, 90)) + (i == 3) * 9000)
            for number, data in made.raw_records(after):
                store(engine, device, "qemu-m4", number, data)
                after = number
    return reference
