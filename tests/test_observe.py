"""Statistics on the device: the same numbers as on the host, and only what the owner allows."""

import random

import cbor2
import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from support.meter import key_of
from support.observed import Statistics, library, signed
from support.watched_fleet import DIGITS, digits
from tinyseal.errors import ModelError, UsageError
from tinyseal.fleet.consent import Level
from tinyseal.fleet.telemetry import RecordError, read_record
from tinyseal.graph.reference_statistics import build_reference, observe, outputs_of
from tinyseal.graph.statistics import (
    UNIT,
    bins_of,
    distances,
    faded,
    float_distances,
    input_features,
    layout_of,
    log_2,
    output_features,
    remembered,
)
from tinyseal.package.provision import StorageKey

FORM, DEVICE, SIGNATURE, OLD, IDENTITY = range(-80, -85, -1)


@pytest.fixture(scope="module")
def images():
    return digits()


@pytest.fixture(scope="module")
def reference(images):
    return build_reference(DIGITS, images, 32)


@pytest.fixture(scope="module")
def outputs(images):
    return outputs_of(DIGITS, images)


def fed(device, images, outputs, order):
    return [i for i, n in enumerate(order) if device.infer(images[n], outputs[n], 900 + n)]


def test_every_number_is_the_hosts_to_the_last_bit(images, outputs, reference):
    device = Statistics(64, 10, reference)
    device.start()
    rng = random.Random(1)
    values = np.concatenate(
        [input_features(reference.layout, images), output_features(outputs)[1]], axis=1
    )
    cells = [bins_of(v, f.edges) for v, f in zip(values.T, reference.features, strict=True)]
    cells.append(output_features(outputs)[0])
    slow = [[0] * (8 if i < 18 else 10) for i in range(19)]
    past = slow[-1]
    for window in range(4):
        # The third has only sevens, and so on: distances from none to large.
        pool = range(len(images)) if window < 2 else range(10 * window)
        order = [rng.choice(pool) for _ in range(32)]
        assert fed(device, images, outputs, order[:31]) == []
        counts = [
            np.bincount(c[order[:31]], minlength=len(s)) for c, s in zip(cells, slow, strict=True)
        ]
        for i, count in enumerate(counts):
            assert device.counts(i) == count.tolist()
            late = [faded(s, int(c), window == 0) for s, c in zip(slow[i], count, strict=True)]
            wanted = distances(
                count.tolist(), late, reference.distributions[i].shares, None if i < 18 else past
            )
            is_beyond, found = device.distance(i)
            assert found == wanted
            limits = reference.distributions[i].limits
            early = (0, 1, 2) if i < 18 else (0, 2)
            assert is_beyond == any(found[s] > limits[s] for s in early)
        assert fed(device, images, outputs, order[31:]) == [0]
        slow = [
            [faded(s, int((c[order] == b).sum()), window == 0) for b, s in enumerate(old)]
            for c, old in zip(cells, slow, strict=True)
        ]
        now = np.bincount(cells[-1][order], minlength=10)
        past = [remembered(was, int(n), window) for was, n in zip(past, now, strict=True)]
        assert device.slow()[: 18 * 8 + 10] == [s for row in slow for s in row]


def test_distances_agree_with_floating_point_and_scipy():
    rng = np.random.default_rng(2)
    worst = np.zeros(4)
    for _ in range(300):
        bins = int(rng.integers(2, 17))
        shares = np.maximum(1, (rng.dirichlet(np.ones(bins)) * 32768).astype(int))
        counts = rng.multinomial(256, rng.dirichlet(np.ones(bins)))
        past = rng.integers(0, 100, bins)
        is_class = bool(rng.integers(2))
        found = np.array(distances(counts.tolist(), (counts * 16).tolist(), shares.tolist(),
                                   (past * 65536).tolist() if is_class else None))  # fmt: skip
        wanted = float_distances(counts[None], counts[None].astype(float), shares,
                                 past[None].astype(float) if is_class else None)[0]  # fmt: skip
        p = (counts + 0.5) / (256 + 0.5 * bins)
        assert wanted[2] == pytest.approx(jensenshannon(p, shares / shares.sum(), base=2))
        small = wanted < 8
        worst = np.maximum(worst, np.where(small, abs(found / UNIT - wanted), 0))
    assert worst.max() < 0.02, worst


def test_the_logarithm_is_rounded_down_and_no_more():
    rng = random.Random(3)
    for x in [1, 2, 3, 255, 2**31, 2**32 - 1, *(rng.randrange(1, 2**32) for _ in range(500))]:
        assert 0 <= np.log2(x) - log_2(x) / 2**20 < 2e-5


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("shape", [(7,), (5, 3), (600, 4), (2, 1), (1, 300), (3, 11, 2)])
def test_inputs_of_every_shape(shape, dtype):
    from tinyseal.graph.reference_statistics import Distribution, Feature, Reference

    layout = layout_of(shape)
    edges = tuple(range(-1500, 1501, 500))
    count = 2 * layout.groups + 2
    reference = Reference(
        8, layout.channels, layout.groups, (Feature(edges, -2048, 2048),) * count,
        (Distribution((4096,) * 8, (65535,) * 4),) * (count + 1),
    )  # fmt: skip
    rng = np.random.default_rng(4)
    limits = np.iinfo(dtype)
    values = rng.integers(limits.min, limits.max, (7, *shape), endpoint=True).astype(dtype)
    values[0], values[1] = limits.min, limits.max
    values[2] = rng.integers(0, 3, shape)
    scores = rng.integers(limits.min, limits.max, (7, 3), endpoint=True).astype(dtype)
    scores[0] = limits.min
    device = Statistics(int(np.prod(shape)), 3, reference, dtype == "int8")
    device.start()
    for value, score in zip(values, scores, strict=True):
        device.infer(value, score)
    classes, judged = output_features(scores)
    found = np.concatenate([input_features(layout, values), judged], axis=1)
    for i, column in enumerate(found.T):
        assert device.counts(i) == np.bincount(bins_of(column, edges), minlength=8).tolist()
    assert device.counts(count) == np.bincount(classes, minlength=3).tolist()


def test_nothing_leaves_without_consent(images, outputs, reference):
    device = Statistics(64, 10, reference)
    device.provision()
    device.start()
    fed(device, images, outputs, range(64))
    assert device.level == 0 and device.raw_records() == []
    assert device.allow(signed(Level.AGGREGATED)) == 0
    fed(device, images, outputs, range(31))
    assert [r.kind for r in device.records()] == ["start"], "what was before is forgotten"
    fed(device, images, outputs, range(1))
    window = device.records()[1]
    assert (window.kind, window.count, len(window.features), len(window.distances)) == (
        "window", 32, 18, 19,
    )  # fmt: skip
    assert sum(c.count for c in window.classes) == 32
    assert device.allow(signed(Level.NONE, 2)) == 0
    assert device.raw_records() == []
    fed(device, images, outputs, range(64))
    assert device.allow(signed(Level.HEALTH, 3)) == 0
    assert [r.level for r in device.records()] == [1], "what was allowed before is not any more"
    assert device.allow(signed(Level.SAMPLES, 4)) == 0
    assert [r.kind for r in device.records()] == ["start", "window", "start", "start"]


def test_a_consent_is_the_owners_for_this_device_and_newer(reference):
    device = Statistics(64, 10, reference)
    device.start()
    assert device.allow(signed(Level.HEALTH)) == IDENTITY
    device.provision()
    device.start()
    assert device.allow(signed(Level.HEALTH, owner=key_of(99))) == SIGNATURE
    assert device.allow(signed(Level.HEALTH, device=bytes(16))) == DEVICE
    good = signed(Level.AGGREGATED, 5)
    for bit in range(8 * len(good)):
        spoilt = bytearray(good)
        spoilt[bit // 8] ^= 1 << bit % 8
        assert device.allow(bytes(spoilt)) in (FORM, DEVICE, SIGNATURE)
    assert device.allow(good[:-1]) == FORM and device.allow(good + b"\0") == FORM
    assert device.level == 0
    assert device.allow(good) == 0 and device.level == 3
    assert device.allow(good) == OLD
    assert device.allow(signed(Level.SAMPLES, 4)) == OLD
    device.start()
    assert device.level == 3, "kept over a restart"
    device.set(StorageKey.CONSENT, good[:40] + bytes(1) + good[41:])
    device.start()
    assert device.level == 0, "what does not verify is as none"
    with pytest.raises(UsageError, match="noised: needs an epsilon"):
        signed(Level.NOISED)


def test_noise_costs_its_budget_and_the_budget_lasts_over_restarts(images, outputs, reference):
    device = Statistics(64, 10, reference)
    device.provision()
    device.start()
    assert device.allow(signed(Level.NOISED, epsilon=1.0, budget=2.5)) == 0
    for _ in range(4):
        fed(device, images, outputs, range(32))
        device.start()
    windows = [r for r in device.records() if r.kind == "window"]
    assert [w.noised is not None for w in windows] == [True, True, False, False]
    assert all(w.features is None and w.classes is None for w in windows)
    assert windows[0].noised != windows[1].noised, "the same counts, other noise"
    assert device.allow(signed(Level.NOISED, 2, epsilon=0.5, budget=3)) == 0
    fed(device, images, outputs, range(64))
    late = [r for r in device.records() if r.kind == "window"][-2:]
    assert [w.epsilon for w in late] == [0.5, 0.5]


def test_noise_is_discrete_laplace():
    """Its variance is 2 p / (1 - p)^2 for p = exp(-a / b); the chance of 0 (1 - p) / (1 + p)."""
    a, b, count = 256, 1536, 8000
    drawn = np.array([library().driver_laplace(7, i, a, b) for i in range(count)])
    p = np.exp(-a / b)
    assert abs(drawn.mean()) < 5 * drawn.std() / count**0.5
    assert drawn.var() == pytest.approx(2 * p / (1 - p) ** 2, rel=0.1)
    assert (drawn == 0).mean() == pytest.approx((1 - p) / (1 + p), rel=0.2)


def test_a_record_of_the_largest_kind_fits_and_an_unusual_input_is_kept(images, outputs, reference):
    device = Statistics(64, 10, reference)
    device.provision()
    device.start(active_uw=20_000)
    assert device.allow(signed(Level.SAMPLES)) == 0
    loud = np.full(64, 127, dtype=np.int8)
    for n in range(32):
        device.infer(loud if n == 3 else images[n], outputs[n], 1000 * (n + 1))
    start, sample, window = device.records()
    assert (start.cause, start.verdicts, start.firmware) == ("fault", (7, 8), "1.2.3")
    assert (sample.kind, sample.count, sample.unusual) == ("sample", 3, 1)
    assert sample.input == loud.tobytes() and window.unusual == 1
    assert window.energy_nj == 16_500 * 20, "16.5 ms at 20 mW"
    assert window.latency.longest == pytest.approx(0.032)
    assert window.latency.percentile(50) == pytest.approx(0.0165, rel=0.1)
    assert window.memory["stack"] == 1000


def test_of_unusual_inputs_each_is_as_likely_to_be_the_one_kept(outputs, reference):
    """The last sample of a window; told are about as many as the harmonic series says."""
    kept, told = np.zeros(32), 0
    device = Statistics(64, 10, reference)
    device.provision()
    device.start()
    assert device.allow(signed(Level.SAMPLES)) == 0
    loud = np.full(64, 127, dtype=np.int8)
    after, windows = 0, 250
    for _ in range(windows):
        for n in range(32):
            device.infer(loud, outputs[n])
        last = None
        for number, data in device.raw_records(after):
            after, record = number, read_record(data)
            if record.kind == "sample":
                last, told = record, told + 1
        assert last is not None and last.unusual == last.count + 1
        kept[last.count] += 1
    wanted = windows / 32
    assert ((kept - wanted) ** 2 / wanted).sum() < 62, "chi-squared of 31, one in a thousand"
    harmonic = sum(1 / n for n in range(1, 33))
    assert told / windows == pytest.approx(harmonic, rel=0.1)


@pytest.mark.parametrize("geometry", [(512, 1), (1024, 4), (1024, 8), (2048, 32)])
def test_the_log_survives_power_cuts_and_keeps_the_newest(geometry):
    """A cut at any operation, torn at any byte: all records before it are there, whole; of the one
    being written at most it is missing; and the log goes on."""
    rng = random.Random(5)
    for trial in range(30):
        device = Statistics(64, 10, None, True, *geometry)
        device.provision()
        device.start()
        assert device.allow(signed(Level.SAMPLES)) == 0
        for _ in range(trial % 12):
            library().driver_append(
                record := b"\1" + rng.randbytes(rng.randrange(1, 90)), len(record)
            )
        before = device.raw_records()
        late = b"\1" + rng.randbytes(rng.randrange(1, 90))
        library().driver_append_cut(late, len(late), rng.randrange(0, 3), rng.randrange(0, 70))
        device.start()
        found = device.raw_records()
        contents = [data for _, data in found]
        kept = [data for _, data in before]
        lost = 0  # a sector may have been erased for the new one
        while contents[: len(kept) - lost] != kept[lost:]:
            lost += 1
        assert lost < len(kept) or not kept
        behind = contents[len(kept) - lost :]
        assert behind[:1] == [late[1:]] or read_record(behind[0]).kind == "start"
        assert [n for n, _ in found] == sorted({n for n, _ in found})


def test_every_flipped_bit_of_the_log(images, outputs, reference):
    """Refused is the record that it is in, or what its erase unit holds; none is invented, no other
    one changed, and the device goes on counting and telling."""
    device = Statistics(64, 10, reference, True, 512)
    device.provision()
    device.start()
    assert device.allow(signed(Level.SAMPLES)) == 0
    rng = random.Random(9)
    for _ in range(40):
        record = b"\1" + rng.randbytes(rng.randrange(1, 60))
        assert library().driver_append(record, len(record)) == 0
    whole, flash = device.raw_records(), device.log_flash()
    contents = {data for _, data in whole}
    assert len(whole) > 25
    lost = {}
    for bit in range(8 * len(flash)):
        spoilt = bytearray(flash)
        spoilt[bit // 8] ^= 1 << bit % 8
        device.write_log(bytes(spoilt))
        device.mount_log()
        found = [data for _, data in device.raw_records()]
        assert set(found) <= contents and len(found) == len(set(found)), bit
        kept = iter(data for _, data in whole)
        assert all(data in kept for data in found), "in their order"
        lost[bit] = len(whole) - len(found)
        if bit % 97 == 0:
            assert library().driver_append(b"\1late", 5) == 0
            assert device.raw_records()[-1][1] == b"late"
            device.mount_log()
            assert device.raw_records()[-1][1] == b"late"
    in_a_head = [n for bit, n in lost.items() if bit // 8 % 512 < 16]
    assert max(n for bit, n in lost.items() if bit // 8 % 512 >= 16) <= 1
    assert 1 < max(in_a_head) < len(whole)


@pytest.mark.parametrize(
    "bad", [b"", b"\xff", b"\xa0", b"\xa1\0\2", b"\x80", b"\xa2\0\1\1\1", bytes(40)]
)
def test_bytes_that_are_no_record_are_refused(bad):
    with pytest.raises(RecordError):
        read_record(bad)


@pytest.mark.parametrize(
    "fields",
    [
        {3: 2**40},  # a number of bytes to make, not bytes
        {11: [[1, 2]]},  # distances without all statistics
        {6: [1, 2]},
        {6: [1, None, 3, 4, 5]},
        {13: [float("nan"), [1]]},
        {1: None},
    ],
)
def test_records_of_wrong_contents_are_refused(fields):
    with pytest.raises(RecordError):
        read_record(cbor2.dumps({0: 1, 1: 1, 2: 4, 3: bytes(8), **fields}))


def test_what_a_newer_device_adds_is_passed_over(images, outputs, reference):
    device = Statistics(64, 10, reference)
    device.provision()
    device.start()
    device.allow(signed(Level.AGGREGATED))
    fed(device, images, outputs, range(32))
    data = device.raw_records()[1][1]
    known = read_record(data)
    fields = cbor2.loads(data)
    assert read_record(cbor2.dumps({**fields, 99: ["new"]})) == known
    fields[6].append(5)
    assert read_record(cbor2.dumps(fields)) == known
    assert read_record(cbor2.dumps({0: 1, 1: 9, 2: 1, 3: bytes(8)})).kind == "kind 9"


def test_memory_is_within_its_budget():
    assert library().driver_struct_bytes() < 2048


def test_a_stream_like_training_rarely_passes_a_limit_and_drift_does(images, outputs, reference):
    rng = np.random.default_rng(8)
    device = Statistics(64, 10, reference)
    device.provision()
    device.start()
    device.allow(signed(Level.AGGREGATED))
    fed(device, images, outputs, rng.integers(0, len(images), 32 * 20).tolist())
    windows = [r for r in device.records() if r.kind == "window"]
    assert sum(w.drifted != 0 for w in windows) <= 1
    dead = images.copy()
    dead[:, :, 2] = -128
    seen = observe(DIGITS, reference.layout, dead)
    assert len(seen.classes) == len(images)
    fed(device, dead, outputs, rng.integers(0, len(images), 64).tolist())
    assert all(r.drifted for r in device.records()[-2:])


def test_samples_that_do_not_go_with_the_model(images):
    with pytest.raises(ModelError, match="expected 64 at least"):
        build_reference(DIGITS, images[:3])
    with pytest.raises(ModelError, match="shape"):
        build_reference(DIGITS, np.zeros((100, 5), dtype=np.int8))
    with pytest.raises(ModelError, match="expected float or int8"):
        build_reference(DIGITS, np.zeros((100, 8, 8), dtype=np.int64))
    with pytest.raises(ModelError, match="window of 1"):
        build_reference(DIGITS, images, 1)
