"""What patches save: a model trained further, its last layer alone, a patch release.

    .venv/bin/python examples/delta/measure.py

Builds what it compares with `scons`; a quarter of an hour on two cores. Exit
code 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from finetune import Network, changes, softmax

from tinyseal.build.firmware import ROOT, Request
from tinyseal.package.delta import make_patch
from tinyseal.profiles import load_board

MADE = Path("build/delta")  # of ROOT
GOALS = {"fine-tuned": 0.40, "last layer": 0.15}  # of the full image
# A bug fix in the firmware's flash code, from this project's history.
RELEASE = "7b64bc202e"
DIGITS = Path("models/digits_int8.tflite")
KWS = Path("models/kws_int8.tflite")


def worn(images, seed=0):
    """Digits as a worn sensor sees them: less contrast, a grey ground, noise; as [-1, 1]."""
    noise = np.random.default_rng(seed).normal(0, 0.06, images.shape)
    return (np.clip(images / 16 * 0.7 + 0.1 + noise, 0, 1) * 2 - 1)[..., None]


def digits(last_only):
    """Half of the test images, as the worn sensor sees them, train; the other half judge."""
    data = np.load(ROOT / "examples/digits/test.npz")
    inputs, labels = worn(data["images"]), data["labels"]
    half = len(inputs) // 2
    network = Network(ROOT / DIGITS)

    def accuracy():
        guesses = network.forward(inputs[half:]).argmax(axis=1)
        return float((guesses == labels[half:]).mean())

    before = accuracy()
    network.train(inputs[:half], np.eye(10)[labels[:half]], 5, 1e-3, last_only)
    return network.quantised(), f"accuracy {before:.1%} to {accuracy():.1%}"


def kws(last_only):
    """Its data set is not here, so inputs are drawn at random, smooth in time as spectrograms are;
    the network learns to give for a noisy one what it gave for the clean one."""
    network = Network(ROOT / KWS)
    tensor = network.graph.tensor(network.graph.inputs[0])
    quant = tensor.quant
    random = np.random.default_rng(0)
    low, high = quant.scale * (-128 - quant.zero_point), quant.scale * (127 - quant.zero_point)
    steps = random.normal(size=(192, *tensor.shape[1:])).cumsum(axis=1)
    spread = (steps - steps.min()) / (steps.max() - steps.min())
    clean = low + (high - low) * spread
    targets = softmax(network.forward(clean))
    noisy = clean + random.normal(0, 0.05 * (high - low), clean.shape)

    def divergence():
        return float(-(targets * np.log(softmax(network.forward(noisy)) + 1e-12)).sum(1).mean())

    before = divergence()
    network.train(noisy, targets, 5, 1e-3, last_only)
    return network.quantised(), f"cross entropy {before:.2f} to {divergence():.2f}"


def build(board, model, version, root=ROOT, key=None):
    """Signed images of a build; where they are."""
    words = [f"board={board}", f"model={model}", f"version={version}"]
    environment = {**os.environ, "PYTHONPATH": str(root / "host")}
    done = subprocess.run(
        [sys.executable, "-m", "SCons", "-Q", *words, "firmware"],
        cwd=root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"scons {' '.join(words)} in {root}:\n{done.stdout}{done.stderr}")
    return root / Request(load_board(board), Path(model)).folder


def row(what, board, image, old, new, note):
    """The patch from slot a to slot b, or to the one place images run from."""
    after = new / f"{image}_b.signed.bin"
    after = after if after.is_file() else new / f"{image}_a.signed.bin"
    before, wanted = old[0], after.read_bytes()
    patch = make_patch(before, wanted)
    return {
        "change": what, "board": board, "image_bytes": len(wanted), "patch_bytes": len(patch),
        "share": round(len(patch) / len(wanted), 4), "note": note,
    }  # fmt: skip


def models(board):
    for source, trainer in ((DIGITS, digits), (KWS, kws)):
        folder = build(board, source, "1.0.0")
        old = [(folder / "capsule_a.signed.bin").read_bytes()]
        for what, last_only in (("fine-tuned", False), ("last layer", True)):
            data, learnt = trainer(last_only)
            # Same file name as the original's, since a capsule carries it.
            path = MADE / what.replace(" ", "-") / source.name
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_bytes(data)
            labels = (ROOT / source).with_suffix(".labels.txt")
            if labels.is_file():
                (ROOT / path).with_name(labels.name).write_bytes(labels.read_bytes())
            moved, spread = changes(ROOT / source, ROOT / path)
            note = f"{learnt}; {moved:.0%} of weights moved, by {spread:.1f} (rms)"
            new = build(board, path, "1.0.1")
            yield row(f"{source.stem}: {what}", board, "capsule", old, new, note)


def release(board, commit):
    """The application before and after a commit of this repository."""
    with tempfile.TemporaryDirectory() as folder:
        images = {}
        for name, revision, version in (
            ("old", f"{commit}^", "1.0.0"),
            ("new", commit, "1.0.1"),
        ):
            tree = Path(folder) / name
            git = ["git", "-C", str(ROOT), "worktree"]
            subprocess.run([*git, "add", "--detach", str(tree), revision], check=True,
                           capture_output=True)  # fmt: skip
            try:
                third_party = ROOT / "build/third_party"
                (tree / "build").mkdir()
                (tree / "build/third_party").symlink_to(third_party, True)
                images[name] = build(board, KWS, version, tree)
                if name == "old":
                    old = [(images["old"] / "app_a.signed.bin").read_bytes()]
                else:
                    return row("application: bug fix", board, "app", old, images["new"], commit)
            finally:
                subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--board", action="append", help="of several; qemu-m4 and qemu-m33 if none")
    parser.add_argument("--release", default=RELEASE, help="commit that is the patch release")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for board in arguments.board or ["qemu-m4", "qemu-m33"]:
        rows += [*models(board), release(board, arguments.release)]
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        print("| change | board | image B | patch B | share | |\n|---|---|---:|---:|---:|---|")
        for r in rows:
            print(
                f"| {r['change']} | `{r['board']}` | {r['image_bytes']:,} | {r['patch_bytes']:,} "
                f"| {r['share']:.1%} | {r['note']} |"
            )
    missed = [
        r for r in rows for what, goal in GOALS.items()
        if r["change"].endswith(what) and r["share"] >= goal
    ]  # fmt: skip
    for r in missed:
        print(
            f"{r['change']} on {r['board']}: {r['share']:.1%}, the goal is missed", file=sys.stderr
        )
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
