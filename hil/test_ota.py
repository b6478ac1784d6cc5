"""Updates over the air that every board must take, virtual or real, over serial and BLE.

Each test leaves the board on a version of its own, one above what it ran before.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from tinyseal.build.firmware import ROOT
from tinyseal.device.ota import restart, running, trials, update
from tinyseal.device.smp import SmpDevice
from tinyseal.graph.samples import random_inputs
from tinyseal.package.keys import DEV_SIGN, Use, load_private
from tinyseal.package.sign import SignRequest, sign_image
from tinyseal.package.update import read_set


@pytest.fixture(autouse=True)
def takes_images(firmware):
    if not firmware.board.services.smp_images:
        pytest.skip(f"{firmware.board.name}: its profile has no image group")


def with_device(link, work):
    async def run():
        async with SmpDevice(link) as device:
            await device.learn_buffer()
            return await work(device)

    return asyncio.run(run())


@pytest.fixture
def release(firmware, link, tmp_path):
    """The firmware once more, a revision above what runs."""

    async def versions(device):
        return [r.version for r in running(await device.images()).values()]

    newest = max(with_device(link, versions))
    version = replace(newest, revision=newest.revision + 1)
    key = load_private(DEV_SIGN, Use.SIGN)
    for image in ("app", "capsule"):
        for slot in firmware.slots:
            payload = (ROOT / firmware.image(image, slot).with_suffix(".bin")).read_bytes()
            data = sign_image(payload, SignRequest(firmware.board, image, slot, version, 0), key)
            (tmp_path / f"{image}_{slot}.img").write_bytes(data)
    return version, read_set([tmp_path])


def test_an_update_is_tried_proven_and_kept(link, release, station, graph, reference):
    version, images = release
    report = with_device(link, lambda device: update(device, images))
    assert report.outcome == "updated" and report.checked == ("echo", "self-test")
    assert {r.version for r in report.after.values()} == {version}
    after = with_device(link, restart)
    assert {r.version for r in after.values()} == {version}
    with station.client() as client:
        client.sync()
        name, inputs = next(iter(random_inputs(graph)))
        outputs, _ = client.run(client.info(), inputs)
    for got, expected in zip(outputs, reference.invoke(inputs), strict=True):
        np.testing.assert_array_equal(got, expected, err_msg=name)


def test_an_update_that_was_cut_goes_on(link, release):
    _, images = release

    class Cut(Exception):
        pass

    class Cutter:
        def stage(self, text):
            pass

        def sent(self, file, size, done, resumed):
            if done > size // 2:
                raise Cut

    with pytest.raises(Cut):
        with_device(link, lambda device: update(device, images, Cutter()))
    report = with_device(link, lambda device: update(device, images))
    variants = 2 if len(images) == 4 else 1
    whole = sum(len(i.data) for i in images) // variants
    assert report.outcome == "updated" and report.sent_bytes < whole


def test_an_update_nobody_keeps_is_gone_with_the_next_start(link, release):
    version, images = release

    async def install(device):
        before = running(await device.images())

        class Stop(Exception):
            pass

        class Stopper:
            def stage(self, text):
                if text.startswith("checking"):
                    raise Stop

            def sent(self, file, size, done, resumed):
                pass

        with pytest.raises(Stop):
            await update(device, images, Stopper())
        states = await device.images()
        assert len(trials(states)) == 2
        assert {r.version for r in running(states).values()} == {version}
        return before, await restart(device)

    before, after = with_device(link, install)
    assert after == before
