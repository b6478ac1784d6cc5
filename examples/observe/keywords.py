"""Writes a reference and streams for keyword spotting: words that espeak-ng says in many voices, at
many levels, as the network of MLPerf Tiny hears them; and the same with drift in the sound.

    .venv/bin/python examples/observe/keywords.py build/keywords.npy build/keywords_streams.npz
"""

from __future__ import annotations

import argparse
import io
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from scipy.fft import dct

RATE: Final = 16_000
WORDS: Final = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
OTHERS: Final = ("bed", "cat", "house", "seven", "tree", "wow")  # the network's "unknown"
ACCENTS: Final = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-us-nyc")
VARIANTS: Final = ("m1", "m2", "m3", "m5", "m7", "f1", "f2", "f3", "f4", "f5")
FRAME, STEP, BANDS, TAKEN = 480, 320, 40, 10  # of the front end of MLPerf Tiny
DEAD: Final = np.array([[1], [1], [1], [1], [1], [0], [1], [1], [1], [1]], np.float32)
SWAPPED: Final = [0, 1, 2, 5, 4, 3, 6, 7, 8, 9]
LOWEST, HIGHEST = 20.0, 4000.0  # Hz


def say(word: str, voice: str, speed: int, pitch: int) -> np.ndarray:
    """A second of it, in [-1, 1]."""
    done = subprocess.run(
        ["espeak-ng", "--stdout", "-v", voice, "-s", str(speed), "-p", str(pitch), word],
        capture_output=True, check=True,
    )  # fmt: skip
    with wave.open(io.BytesIO(done.stdout)) as heard:
        rate = heard.getframerate()
        raw = np.frombuffer(heard.readframes(heard.getnframes()), dtype="<i2").astype(np.float64)
    places = np.arange(0, len(raw) - 1, rate / RATE)
    sound = np.interp(places, np.arange(len(raw)), raw) / 32768
    loud = np.flatnonzero(np.abs(sound) > 0.02)
    sound = sound[loud[0] : loud[-1] + 1][:RATE] if len(loud) else sound[:RATE]
    room = RATE - len(sound)
    return np.pad(sound, (room // 2, room - room // 2))


def mel_matrix() -> np.ndarray:
    """(bins of the spectrum, BANDS): triangles that are even in mel."""

    def mel(hz: np.ndarray) -> np.ndarray:
        return 1127 * np.log1p(hz / 700)

    bins = mel(np.linspace(0, RATE / 2, 257))[1:, None]
    edges = np.linspace(*mel(np.array([LOWEST, HIGHEST])), BANDS + 2)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.pad(np.maximum(0, np.minimum(rising, falling)), ((1, 0), (0, 0)))


MEL: Final = mel_matrix()
HANN: Final = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)


def heard(sound: np.ndarray) -> np.ndarray:
    """(49, 10, 1): ten cepstral coefficients of 49 frames."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, FRAME)[::STEP]
    spectrum = np.abs(np.fft.rfft(frames * HANN, 512))
    cepstrum = dct(np.log(spectrum @ MEL + 1e-6), axis=-1) / np.sqrt(2 * BANDS)
    return cepstrum[:, :TAKEN, None].astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("reference", type=Path)
    parser.add_argument("streams", type=Path)
    parser.add_argument("--takes", type=int, default=60, help="of each word (default: 60)")
    wanted = parser.parse_args()
    rng = np.random.default_rng(3)
    sounds = []
    for word in (*WORDS, *OTHERS):
        for _ in range(wanted.takes if word in WORDS else wanted.takes // len(OTHERS)):
            voice = f"{rng.choice(ACCENTS)}+{rng.choice(VARIANTS)}"
            sound = say(word, voice, int(rng.integers(130, 200)), int(rng.integers(25, 75)))
            shift = int(rng.integers(-1600, 1600))
            sound = np.roll(sound, shift) + rng.normal(0, 0.004, RATE)
            sounds.append(sound / np.abs(sound).max() * 10 ** rng.uniform(-0.3, 0.0))
    order = rng.permutation(len(sounds))
    half = len(order) // 2
    noise = rng.normal(0, 1, (len(sounds), RATE))
    kinds: dict[str, Callable[[int], np.ndarray]] = {
        "none": lambda i: heard(sounds[i]),
        "gain 0.5": lambda i: heard(0.5 * sounds[i]),
        "gain 0.8": lambda i: heard(0.8 * sounds[i]),
        "noise, 20 dB below": lambda i: heard(sounds[i] + 0.1 * sounds[i].std() * noise[i]),
        "noise, 10 dB below": lambda i: heard(sounds[i] + 0.32 * sounds[i].std() * noise[i]),
        "dead microphone": lambda i: heard(1e-3 * noise[i]),
        "one dead coefficient of 10": lambda i: heard(sounds[i]) * DEAD,
        "two coefficients swapped": lambda i: heard(sounds[i])[:, SWAPPED],
        "offset of 1 in one coefficient": lambda i: heard(sounds[i]) + (1 - DEAD),
    }
    for path in (wanted.reference, wanted.streams):
        path.parent.mkdir(parents=True, exist_ok=True)
    np.save(wanted.reference, np.stack([heard(sounds[i]) for i in order[:half]]))
    late = order[half:]
    streams = {name: np.stack([make(i) for i in late]) for name, make in kinds.items()}
    np.savez(wanted.streams, **streams)


if __name__ == "__main__":
    main()
