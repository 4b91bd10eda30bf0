"""The integer network: its file against truncation, damage and malice; its validation, name and value in each error."""

import copy
import dataclasses
import hashlib
import io
import json
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from random_networks import HOST_ONLY, Limits, random_frames, random_network

from pynq_qsnn import container
from pynq_qsnn.errors import ModelFileError, NetworkError, QsnnError, SpecMismatch
from pynq_qsnn.hwspec import CODE_BITS, numerics_fingerprint
from pynq_qsnn.network import (
    INPUT,
    LARGEST_ATTENTION,
    Attention,
    Conv2d,
    Flatten,
    Head,
    Linear,
    Network,
    Pool,
    Skip,
    Steps,
    TensorType,
    sources,
)
from pynq_qsnn.neuron import INT32_MAX, Affine, Neuron
from pynq_qsnn.reference import Reference

ROOT = Path(__file__).resolve().parents[1]
POINT = TensorType((2, 1, 1), 8, 1, 255)


def affine(channels, multiplier=1000, shift=4, bias=0) -> Affine:
    return Affine(np.full(channels, multiplier), np.full(channels, shift), np.full(channels, bias))


def conv(name="conv", source=INPUT, shape=(4, 2, 3, 3), bits=8, s_max=15, spike_bits=4, padding=1, **more) -> Conv2d:
    weight = np.ones(shape, np.int8)
    return Conv2d(name, source, weight, bits, Neuron(affine(shape[0]), s_max), spike_bits, padding=padding, **more)


def head(source, channels, classes=3, scale=1.0) -> Head:
    return Head("head", source, np.ones((classes, channels), np.int8), 8, affine(classes), scale)


def network(*layers, num_steps=2, frame=None) -> Network:
    return Network("tiny", frame or TensorType((2, 4, 4), 8, 1, 255), num_steps, layers)


def then_head(*layers, **more) -> Network:
    """The layers and a head; meant to fail before the head is looked at."""
    return network(*layers, head(layers[-1].name, 1), **more)


def attention(query="conv", key="conv", value="conv", heads=2, channels=4, s_max=3, spike_bits=2) -> Attention:
    return Attention("attention", query, key, value, heads, Neuron(affine(channels), s_max), spike_bits)


def transformer() -> Network:
    """What only the host runs: attention, T up and down, a padded pool."""
    return network(
        conv(),
        conv("key", "conv", (4, 4, 1, 1), padding=0),
        Pool("value", "conv", "maximum", 3, 1, 1),
        attention(key="key", value="value"),
        Steps("more", "attention", 6),
        conv("inner", "more", (4, 4, 3, 3)),
        Steps("fewer", "inner", 1),
        Flatten("flat", "fewer"),
        head("flat", 64),
    )


def tiny() -> Network:
    """Every kind of layer that an overlay runs, and residuals of both domains."""
    current = Skip("conv", "current", None, np.full(4, 500), np.full(4, 2), 2)
    return Network(
        "tiny",
        TensorType((2, 4, 4), 8, 1, 255),
        2,
        (
            conv(),
            conv("spike", "conv", (4, 4, 3, 3), skip=Skip("conv", "spike", 15)),
            conv("current", "spike", (4, 1, 3, 3), stride=2, groups=4, skip=current),
            Pool("pool", "current", "sum", 2, 2),
            Flatten("flat", "pool"),
            Linear("linear", "flat", np.ones((5, 4), np.int8), 1, Neuron(affine(5), 3, None, "zero"), 2),
            head("linear", 5),
        ),
        {"dataset": "none", "accuracy": 0.5, "nested": {"list": [1, 2]}},
    )


def same(one, other) -> bool:
    """Deep equality of networks, arrays and dtypes included."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    if dataclasses.is_dataclass(one):
        names = [f.name for f in dataclasses.fields(one)]
        return type(one) is type(other) and all(same(getattr(one, n), getattr(other, n)) for n in names)
    if isinstance(one, tuple):
        return isinstance(other, tuple) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "tiny.qsnn"
    tiny().save(path)
    return path


def signed(path: Path, meta, arrays=None, **manifest) -> Path:
    """A container with right checksums around whatever content, as an attacker or a bug could write it."""
    members = {"meta.json": json.dumps(meta).encode(), **(arrays or {})}
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    head = {
        "magic": container.MAGIC,
        "version": container.FORMAT_VERSION,
        "kind": "network",
        "sha256": sums,
        **manifest,
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {"manifest.json": json.dumps(head).encode(), **members}.items():
            archive.writestr(name, data)
    return path


def npy(array, allow_pickle=False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def parts() -> tuple[dict, dict[str, bytes]]:
    meta, arrays = tiny().to_parts()
    return json.loads(json.dumps(meta)), {f"{key}.npy": npy(array) for key, array in arrays.items()}


# ---- round trips --------------------------------------------------------------------------------------------------


def test_round_trip_of_every_kind_of_layer(saved, tmp_path):
    assert same(Network.load(saved), tiny())
    assert container.kind(saved) == "network"
    transformer().save(tmp_path / "transformer.qsnn")
    assert same(Network.load(tmp_path / "transformer.qsnn"), transformer())


@pytest.mark.parametrize("seed", range(25))
def test_round_trip_of_random_networks(seed, tmp_path):
    rng = np.random.default_rng(seed)
    made = random_network(rng, Limits(**HOST_ONLY, max_layers=4, max_channels=20, max_size=7))
    made.save(tmp_path / "a.qsnn")
    loaded = Network.load(tmp_path / "a.qsnn")
    assert same(loaded, made)
    frames = random_frames(rng, made, 2)
    assert np.array_equal(Reference().load(loaded).run(frames), Reference().load(made).run(frames))
    loaded.save(tmp_path / "b.qsnn")
    assert (tmp_path / "a.qsnn").read_bytes() == (tmp_path / "b.qsnn").read_bytes()


def test_saving_makes_the_folder(tmp_path):
    tiny().save(tmp_path / "new" / "folder" / "tiny.qsnn")
    assert same(Network.load(str(tmp_path / "new" / "folder" / "tiny.qsnn")), tiny())


# ---- atomic writing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["zipfile.ZipFile.writestr", "os.fsync", "os.replace"])
def test_a_failed_write_leaves_the_old_file_and_no_other(saved, monkeypatch, where):
    before = saved.read_bytes()

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(where, fail)
    with pytest.raises(OSError, match="No space left"):
        dataclasses.replace(tiny(), name="other").save(saved)
    assert saved.read_bytes() == before and list(saved.parent.iterdir()) == [saved]


def test_a_killed_writer_leaves_the_old_file(saved):
    before = saved.read_bytes()
    code = (
        "import os, signal, sys; from pynq_qsnn.network import Network; network = Network.load(sys.argv[1]); "
        "network.card['note'] = 'new'; os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL); "
        "network.save(sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(saved)], cwd=ROOT, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert saved.read_bytes() == before and same(Network.load(saved), tiny())


# ---- damaged files ------------------------------------------------------------------------------------------------


def test_every_truncation_is_refused(saved, tmp_path):
    data, cut = saved.read_bytes(), tmp_path / "cut.qsnn"
    points = {*range(0, len(data), 61), *range(64), *range(len(data) - 64, len(data))}
    for length in sorted(points):
        cut.write_bytes(data[:length])
        with pytest.raises(ModelFileError, match=r"cut\.qsnn"):
            Network.load(cut)


def test_a_flipped_bit_is_refused_or_harmless(saved, tmp_path):
    """Some bytes of a zip carry dates and attributes: a flip there may load, but then it loads the same network."""
    data, bad, original = saved.read_bytes(), tmp_path / "flip.qsnn", Network.load(saved)
    rng, refused = np.random.default_rng(0), 0
    # All of the two ends (local header, central directory), a sample of what is between them.
    places = {*range(200), *range(len(data) - 300, len(data)), *rng.integers(0, len(data), 700).tolist()}
    for place in sorted(places):
        flipped = bytearray(data)
        flipped[place] ^= 1 << rng.integers(8)
        bad.write_bytes(flipped)
        try:
            assert same(Network.load(bad), original), f"byte {place}"
        except ModelFileError as error:
            assert "flip.qsnn" in str(error)
            refused += 1
    assert refused > 0.7 * len(places)


def test_a_flip_in_a_payload_is_never_harmless(saved, tmp_path):
    bad = tmp_path / "stored.qsnn"
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for target, data in members.items():
        changed = {**members, target: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]}
        with zipfile.ZipFile(bad, "w") as archive:
            for name, content in changed.items():
                archive.writestr(name, content)
        with pytest.raises(ModelFileError, match="stored.qsnn"):
            Network.load(bad)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"\x80\x04.", b"x" * 4096])
def test_files_of_another_kind(tmp_path, content):
    (tmp_path / "x.qsnn").write_bytes(content)
    with pytest.raises(ModelFileError, match="x.qsnn"):
        Network.load(tmp_path / "x.qsnn")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ModelFileError, match="no file .*absent.qsnn"):
        Network.load(tmp_path / "absent.qsnn")
    with pytest.raises(ModelFileError, match="is a folder"):
        Network.load(tmp_path)


# ---- hostile files ------------------------------------------------------------------------------------------------


class Boom:
    def __reduce__(self):
        return pytest.fail, ("a pickle was executed",)


def test_pickles_are_not_executed(tmp_path):
    meta, arrays = parts()
    hostile = npy(np.array([Boom()], object), allow_pickle=True)
    for key in arrays:
        with pytest.raises(ModelFileError, match="hostile"):
            Network.load(signed(tmp_path / "hostile.qsnn", meta, {**arrays, key: hostile}))


def test_wrong_manifests(tmp_path):
    meta, arrays = parts()
    path = tmp_path / "m.qsnn"
    cases = [
        ({"magic": "zip"}, "not one that pynq_qsnn wrote"),
        ({"version": 2}, "format version 2, this release reads 1"),
        ({"version": None}, "format version None"),
        ({"kind": "program"}, "holds a program, a network was asked for"),
        ({"kind": ["network"]}, "m.qsnn"),
        ({"sha256": {}}, "m.qsnn"),
        ({"sha256": []}, "m.qsnn"),
        ({"sha256": {"meta.json": 3}}, "checksum of meta.json"),
        ({"sha256": {"../../etc/passwd": "0"}}, "m.qsnn"),
    ]
    for changes, match in cases:
        with pytest.raises(ModelFileError, match=match):
            Network.load(signed(path, meta, arrays, **changes))
    for content in (b"[]", b"null", b"[" * 100_000, b"\xff", b'{"magic": "pynq-qsnn", "version": 1}'):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("manifest.json", content)
        with pytest.raises(ModelFileError, match="m.qsnn"):
            Network.load(path)


def test_bombs_are_refused_before_they_unpack(tmp_path, monkeypatch):
    monkeypatch.setattr(container, "MAXIMUM_MEMBER_BYTES", 1 << 16)
    meta, arrays = parts()
    arrays["a0000.npy"] = npy(np.zeros(1 << 20, np.int8))
    with pytest.raises(ModelFileError, match="a0000.npy unpacks to 1048704 bytes, limit 65536"):
        Network.load(signed(tmp_path / "bomb.qsnn", meta, arrays))


@pytest.mark.parametrize("shape", [(1 << 50,), (1 << 62, 4), (-4,), (4, "x")])
def test_headers_that_promise_more_than_there_is(tmp_path, shape):
    header = repr({"descr": "|i1", "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    lie = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(16)
    meta, arrays = parts()
    with pytest.raises(ModelFileError, match="lie.qsnn"):
        Network.load(signed(tmp_path / "lie.qsnn", meta, {**arrays, "a0000.npy": lie}))


def leaves(item, path=()):
    """Paths of every scalar, list and dict of a JSON value."""
    if path:
        yield path
    for key, value in item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ():
        yield from leaves(value, (*path, key))


JUNK = (None, -1, 0, 3, 1.5, 255, 256, 10**30, "x", True, [], {}, [1], {"array": "a0000"}, {"array": "none"})


def test_any_changed_value_is_refused_or_a_working_network():
    """Each value of the description replaced by junk, as behind a right checksum: our error, or a network that runs."""
    (meta, _), arrays = parts(), tiny().to_parts()[1]
    outcomes = {True: 0, False: 0}
    for place in leaves(meta):
        if place[0] == "card" and len(place) > 1:
            continue
        for junk in JUNK:
            changed = copy.deepcopy(meta)
            target = changed
            for key in place[:-1]:
                target = target[key]
            target[place[-1]] = junk
            try:
                loaded = Network.from_parts(changed, arrays, "junk.qsnn")
            except (ModelFileError, NetworkError, SpecMismatch):
                outcomes[False] += 1
                continue
            frames = np.zeros((1, *loaded.frame_shape), np.uint8)
            logits = Reference().load(loaded).run(frames)
            assert logits.shape == (1, len(loaded.head.weight)), (place, junk)
            outcomes[True] += 1
    assert outcomes[False] > 20 * outcomes[True] > 0


@pytest.mark.parametrize("junk", [None, [], "x", 3, {}, {"numerics": numerics_fingerprint()}])
def test_descriptions_of_another_shape(tmp_path, junk):
    with pytest.raises(QsnnError, match="junk.qsnn"):
        Network.load(signed(tmp_path / "junk.qsnn", junk))


def test_other_arithmetic_is_a_spec_mismatch_with_both_values(tmp_path):
    meta, arrays = parts()
    other = "0" * 64
    with pytest.raises(SpecMismatch, match="old.qsnn") as caught:
        Network.load(signed(tmp_path / "old.qsnn", {**meta, "numerics": other}, arrays))
    assert caught.value.expected == numerics_fingerprint() and caught.value.found == other
    assert numerics_fingerprint() in str(caught.value) and "export the model again" in str(caught.value)


# ---- validation ---------------------------------------------------------------------------------------------------


def test_inferred_tensors():
    types = tiny().tensors
    assert types["spike"] == TensorType((4, 4, 4), 4, 2, 15)
    assert types["current"].shape == (4, 2, 2)
    assert types["pool"] == TensorType((4, 1, 1), 8, 2, 60)
    assert types["flat"].shape == (4, 1, 1) and types["linear"] == TensorType((5, 1, 1), 2, 2, 3)
    assert tiny().frame_shape == (2, 4, 4)
    event = network(Flatten("flat", INPUT), head("flat", 32), num_steps=3, frame=TensorType((2, 4, 4), 1, 3, 1))
    assert event.frame_shape == (3, 2, 4, 4)


def test_inferred_tensors_of_what_only_the_host_runs():
    built = transformer()
    assert built.tensors["value"] == TensorType((4, 4, 4), 4, 2, 15)
    assert built.tensors["attention"] == TensorType((4, 4, 4), 2, 2, 3)
    assert built.tensors["more"] == TensorType((4, 4, 4), 2, 6, 3)
    assert built.tensors["inner"] == TensorType((4, 4, 4), 4, 6, 15)
    assert built.tensors["fewer"] == TensorType((4, 4, 4), 8, 1, 6 * 15)
    assert built.tensors["flat"].num_steps == built.tensors["head"].num_steps == 1
    assert sources(built.layers[3]) == ("conv", "key", "value")


@pytest.mark.parametrize("pooled", [False, True])
def test_a_static_image_takes_the_networks_steps_or_its_own(pooled):
    """Pools and Flatten leave it static; a Steps layer ends that, even one that changes nothing."""
    first = (Pool("p", INPUT, "maximum", 2, 2),) if pooled else ()
    source = "p" if pooled else INPUT
    ending = (Flatten("flat", "conv"), head("flat", 16 if pooled else 64))
    plain = network(*first, conv(source=source), *ending, num_steps=3)
    assert [plain.tensors[name].num_steps for name in (source, "conv", "head")] == [1, 3, 3]
    for steps in (1, 5):
        changed = network(*first, Steps("t", source, steps), conv(source="t"), *ending, num_steps=3)
        assert [changed.tensors[name].num_steps for name in (source, "conv", "head")] == [1, steps, steps]


def test_sums_of_an_attention_are_proved_to_fit():
    tokens = LARGEST_ATTENTION // 255**3
    for count, fits in ((tokens, True), (tokens + 1, False)):
        layers = (attention(INPUT, INPUT, INPUT, 1, 1), Pool("p", "attention", "maximum", 1, count), head("p", 1))
        frame = TensorType((1, 1, count), 8, 1, 255)
        if fits:
            Network("long", frame, 1, layers)
        else:
            with pytest.raises(NetworkError, match=f"attention: products can reach {count * 255**3}, .* fewer spike"):
                Network("long", frame, 1, layers)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 7), (8, 9), (1, 12)])
def test_convolution_shapes_are_pytorchs(kernel, stride, size):
    padding = kernel // 2
    layer = conv(shape=(3, 2, kernel, kernel), stride=stride, padding=padding)
    shape = (
        Network(
            "n",
            TensorType((2, *size), 8, 1, 255),
            1,
            (layer, Flatten("f", "conv"), head("f", 3 * _cells(size, stride))),
        )
        .tensors["conv"]
        .shape
    )
    assert shape == (3, *((n + 2 * padding - kernel) // stride + 1 for n in size))


def _cells(size, stride):
    return int(np.prod([-(-n // stride) for n in size]))


def skipped(**changes) -> Network:
    values = {"source": "conv", "domain": "spike", "s_max": 15, **changes}
    last = conv("last", "conv", (values.pop("channels", 4), 4, 3, 3), skip=Skip(**values))
    return network(conv(), last, Flatten("flat", "last"), head("flat", 16 * len(last.weight)))


def inverted(**changes) -> Network:
    """1-bit codes and the iand residual."""
    skip = Skip("conv", "iand", **changes)
    last = conv("last", "conv", (4, 4, 3, 3), s_max=1, spike_bits=1, skip=skip)
    return network(conv(s_max=1, spike_bits=1), last, Flatten("flat", "last"), head("flat", 64))


def test_an_inverted_residual_passes_where_the_layer_is_silent(tmp_path):
    """(1 - s) * k on all four pairs, and again from the file."""
    weight = np.array([[[[1]], [[0]]], [[[0]], [[1]]]], np.int8)
    unit = Neuron(Affine(np.full(2, 1 << 16), np.zeros(2, int), np.zeros(2, int)), 1)
    layers = (
        Conv2d("k", INPUT, weight, 8, unit, 1),
        Conv2d("s", INPUT, weight[::-1].copy(), 8, unit, 1, skip=Skip("k", "iand")),
        Flatten("flat", "s"),
        head("flat", 8),
    )
    built = network(*layers, num_steps=1, frame=TensorType((2, 2, 2), 1, 1, 1))
    assert built.tensors["s"] == TensorType((2, 2, 2), 1, 1, 1)
    built.save(tmp_path / "iand.qsnn")
    loaded = Network.load(tmp_path / "iand.qsnn")
    assert same(loaded, built)
    frame = np.array([[[[0, 0], [1, 1]], [[0, 1], [0, 1]]]], np.uint8)
    for one in (built, loaded):
        # Channel 0: k is input 0, s is input 1; channel 1 the other way.
        assert Reference().load(one).trace(frame)["s"][0, 0].tolist() == [[[0, 0], [1, 0]], [[0, 1], [0, 0]]]


def ending(layer, channels, **more) -> Network:
    return network(conv(), layer, Flatten("flat", layer.name), head("flat", channels), **more)


def retyped(weight) -> Network:
    return then_head(dataclasses.replace(conv(), weight=weight))


def weighted(bits, value, **more) -> Network:
    weight = np.full((4, 2, 3, 3), value, np.int8)
    return network(
        dataclasses.replace(conv(), weight=weight, weight_bits=bits, **more), Flatten("f", "conv"), head("f", 64)
    )


INVALID = {
    "no layers": (lambda: network(), "last layer must be the Head"),
    "no head": (lambda: network(conv()), "last layer must be the Head"),
    "head in the middle": (lambda: network(Flatten("f", INPUT), head("f", 32), head("f", 32)), "head: a Head can only"),
    "name twice": (lambda: then_head(conv(), conv()), "two tensors are named 'conv'"),
    "name of the input": (lambda: then_head(conv(INPUT)), "two tensors are named 'input'"),
    "unknown source": (lambda: then_head(conv(source="nowhere")), "conv: no tensor 'nowhere' before it; .*input"),
    "steps 0": (lambda: network(Flatten("f", INPUT), head("f", 32), num_steps=0), "num_steps is 0"),
    "steps 256": (lambda: network(Flatten("f", INPUT), head("f", 32), num_steps=256), "num_steps is 256"),
    "input steps": (
        lambda: network(Flatten("f", INPUT), head("f", 32), frame=TensorType((2, 4, 4), 8, 3, 255)),
        "input has 3 steps, must be 1 or 2",
    ),
    "input bits": (lambda: network(head(INPUT, 2), frame=TensorType((2, 1, 1), 3, 1, 7)), "input: codes of 3 bits"),
    "input s_max": (lambda: network(head(INPUT, 2), frame=TensorType((2, 1, 1), 4, 1, 16)), "input: s_max 16"),
    "input shape": (lambda: network(head(INPUT, 2), frame=TensorType((2, 0, 1), 4, 1, 15)), "input: shape"),
    "spike bits": (lambda: then_head(conv(spike_bits=3, s_max=7)), "conv: codes of 3 bits"),
    "s_max over bits": (lambda: then_head(conv(spike_bits=2, s_max=4)), "conv: s_max 4 does not fit 2 bits"),
    "weight dtype": (lambda: retyped(np.ones((4, 2, 3, 3))), "conv: weight is float64"),
    "weight rank": (lambda: retyped(np.ones((4, 2), np.int8)), "conv: weight is int8"),
    "empty weight": (lambda: then_head(conv(shape=(0, 2, 3, 3))), "conv: weight is int8 of shape \\(0, 2, 3, 3\\)"),
    "weight bits": (lambda: weighted(3, 1), "conv: weight_bits is 3"),
    "1-bit zero": (lambda: weighted(1, 0), "conv: 1-bit weights must be -1 or \\+1"),
    "2-bit range": (lambda: weighted(2, 2), "conv: weights span 2..2, 2 bits hold -2..1"),
    "4-bit range": (lambda: weighted(4, -9), "conv: weights span -9..-9, 4 bits hold -8..7"),
    "8-bit range": (lambda: weighted(8, -128), "conv: weights span -128..-128, 8 bits hold -127..127"),
    "kernel": (lambda: then_head(conv(shape=(4, 2, 2, 2))), "conv: kernel \\(2, 2\\)"),
    "kernel not square": (lambda: then_head(conv(shape=(4, 2, 3, 1))), "conv: kernel \\(3, 1\\)"),
    "stride": (lambda: then_head(conv(stride=3)), "conv: stride 3"),
    "padding": (lambda: then_head(conv(padding=3)), "conv: .*padding 3"),
    "negative padding": (lambda: then_head(conv(padding=-1)), "conv: .*padding -1"),
    "groups": (lambda: then_head(conv(groups=3)), "conv: 3 groups do not divide 2 -> 4 channels"),
    "groups 0": (lambda: then_head(conv(groups=0)), "conv: 0 groups"),
    "channels": (lambda: then_head(conv(shape=(4, 3, 3, 3))), "conv: weight .* with 1 groups reads 2 channels"),
    "channel scales": (
        lambda: then_head(dataclasses.replace(conv(), neuron=Neuron(affine(3), 15))),
        "conv: 3 channel scales for 4 output channels",
    ),
    "window": (lambda: then_head(conv(shape=(4, 2, 7, 7), padding=1)), "conv: a 7x7 window does not fit the 4x4 map"),
    "unflattened": (lambda: network(head(INPUT, 2)), "head: weight \\(3, 2\\) on a tensor \\(2, 4, 4\\); flatten it"),
    "linear channels": (lambda: network(Flatten("f", INPUT), head("f", 31)), "head: weight \\(3, 31\\)"),
    "logit scale": (lambda: network(head(INPUT, 2, scale=0.0), frame=POINT), "head: logit_scale is 0.0"),
    "infinite scale": (lambda: network(head(INPUT, 2, scale=float("nan")), frame=POINT), "head: logit_scale is nan"),
    "pool kind": (lambda: ending(Pool("p", "conv", "median", 2, 2), 16), "p: pool kind 'median'"),
    "pool kernel": (lambda: ending(Pool("p", "conv", "maximum", 0, 2), 16), "p: kernel 0 and stride 2"),
    "pool stride": (lambda: ending(Pool("p", "conv", "maximum", 2, -1), 16), "p: kernel 2 and stride -1"),
    "pool window": (lambda: ending(Pool("p", "conv", "maximum", 5, 1), 16), "p: a 5x5 window does not fit the 4x4"),
    "average of 9": (lambda: ending(Pool("p", "conv", "average", 3, 1), 16), "p: an average of 9 codes"),
    "sum over 255": (lambda: network(Pool("p", INPUT, "sum", 2, 2), head("p", 8)), "p: sums reach 1020, codes"),
    "pool padding": (lambda: ending(Pool("p", "conv", "maximum", 2, 2, 2), 16), "p: padding 2 .* below kernel 2"),
    "pool padding below 0": (lambda: ending(Pool("p", "conv", "maximum", 2, 2, -1), 16), "p: padding -1"),
    "padded average": (lambda: ending(Pool("p", "conv", "average", 2, 2, 1), 16), "p: padding 1 of .* 'average'"),
    "padded sum": (lambda: ending(Pool("p", "conv", "sum", 2, 2, 1), 16), "p: padding 1 of pool kind 'sum'"),
    "change of steps": (lambda: ending(Steps("t", "conv", 3), 64), "t: 2 steps cannot become 3"),
    "change to no step": (lambda: ending(Steps("t", "conv", 0), 64), "t: 2 steps cannot become 0"),
    "change to 256 steps": (lambda: ending(Steps("t", "conv", 256), 64), "t: 2 steps cannot become 256"),
    "steps over 255": (
        lambda: ending(Steps("t", "conv", 1), 64, num_steps=18),
        "t: sums reach 270, codes hold 255; sum fewer steps",
    ),
    "residual of other steps": (
        lambda: then_head(conv(), Steps("t", "conv", 4), conv("c", "t", (4, 4, 3, 3), skip=Skip("conv", "spike", 15))),
        "c: the residual has 2 steps, the layer 4",
    ),
    "attention source": (lambda: ending(attention("nowhere"), 64), "attention: no tensor 'nowhere' before it"),
    "attention key": (lambda: ending(attention(key="later"), 64), "attention: no tensor 'later' before it"),
    "attention value": (lambda: ending(attention(value="later"), 64), "attention: no tensor 'later' before it"),
    "attention shapes": (
        lambda: then_head(conv(), conv("k", "conv", (4, 4, 3, 3), stride=2), attention(key="k")),
        "attention: query \\(4, 4, 4\\), key \\(4, 2, 2\\), value \\(4, 4, 4\\) must be equal",
    ),
    "attention steps": (
        lambda: then_head(conv(), Steps("t", "conv", 4), attention(value="t")),
        "attention: query, key and value have \\(2, 2, 4\\) steps",
    ),
    "heads": (lambda: ending(attention(heads=3), 64), "attention: 3 heads do not divide 4 channels"),
    "heads 0": (lambda: ending(attention(heads=0), 64), "attention: 0 heads do not divide 4 channels"),
    "attention scales": (lambda: ending(attention(channels=5), 64), "attention: 5 channel scales for 4 channels"),
    "attention s_max": (lambda: ending(attention(s_max=4), 64), "attention: s_max 4 does not fit 2 bits"),
    "attention bits": (lambda: ending(attention(spike_bits=3), 64), "attention: codes of 3 bits"),
    "skip source": (lambda: skipped(source="later"), "last: no tensor 'later' before it"),
    "skip domain": (lambda: skipped(domain="both"), "last: residual domain 'both'"),
    "skip steps": (lambda: skipped(source=INPUT), "last: the residual has 1 steps, the layer 2"),
    "iand bits": (lambda: skipped(domain="iand", s_max=1), "last: the iand residual .* 4 bits, the layer 4"),
    "iand shape": (lambda: skipped(domain="iand", channels=5), "last: the iand-domain .* needs .*\\(5, 4, 4\\)"),
    "iand stride": (lambda: skipped(domain="iand", stride=2), "last: the iand-domain residual .* stride 2"),
    "iand s_max": (lambda: inverted(s_max=2), "last: the iand residual declares s_max 2, must be 1"),
    "skip undeclared": (lambda: skipped(s_max=None), "last: a spike-domain residual must declare the s_max"),
    "skip s_max": (lambda: skipped(s_max=16), "last: s_max 16 does not fit 4 bits"),
    "skip shape": (lambda: skipped(channels=5), "last: the spike-domain .* \\(4, 4, 4\\) .*needs .*\\(5, 4, 4\\)"),
    "skip stride": (lambda: skipped(stride=2), "last: the spike-domain residual"),
    "skip current stride": (lambda: skipped(domain="current", stride=0), "last: residual stride 0, must be one of"),
    "skip current shape": (lambda: skipped(domain="current", stride=2), "last: a residual \\(4, 4, 4\\) with stride 2"),
    "skip fewer channels": (lambda: skipped(domain="current", channels=3), "last: a residual \\(4, 4, 4\\)"),
    "skip no multiplier": (lambda: skipped(domain="current"), "last: skip multiplier"),
    "skip multiplier": (
        lambda: skipped(domain="current", multiplier=np.full(4, 1 << 17), shift=np.zeros(4, int)),
        "last: skip multiplier spans 131072..131072, the unit holds -131072..131071",
    ),
    "skip shift": (
        lambda: skipped(domain="current", multiplier=np.ones(4, int), shift=np.full(3, 1)),
        "last: skip shift has 3 channels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("names", [("p", "q"), ("p", "input")])
def test_pools_that_read_each_other_are_refused(names):
    """Also where a name is taken twice: reading such a file must end."""
    first, second = names
    pools = (Pool(first, second, "maximum", 1, 1), Pool(second, first, "maximum", 1, 1))
    with pytest.raises(NetworkError):
        network(*pools, head("p", 16))


@pytest.mark.parametrize("num_steps", [2.0, True, "2", 256])
def test_num_steps_is_a_whole_number(num_steps):
    with pytest.raises(NetworkError, match="num_steps is .*must be a whole number"):
        network(conv(), Flatten("f", "conv"), head("f", 64), num_steps=num_steps)


@pytest.mark.parametrize("case", INVALID)
def test_invalid_networks_are_refused_with_name_and_value(case):
    build, match = INVALID[case]
    with pytest.raises(NetworkError, match=match):
        build()


def test_accumulator_and_logits_are_proved_to_fit():
    channels = INT32_MAX // (127 * 255)  # the widest layer whose sum still fits 32 bits
    for width, fits in ((channels, True), (channels + 1, False)):
        layer = Head("head", INPUT, np.full((1, width), 127, np.int8), 8, Affine([1], [16], [0]))
        frame = TensorType((width, 1, 1), 8, 1, 255)
        if fits:
            Network("wide", frame, 1, (layer,))
        else:
            with pytest.raises(NetworkError, match=f"head: sums can reach {width * 127 * 255}, the accumulator holds"):
                Network("wide", frame, 1, (layer,))
    frame = TensorType((1, 1, 1), 8, 1, 255)
    for steps, fits in ((1, True), (2, False)):
        layer = Head("head", INPUT, np.full((1, 1), 127, np.int8), 8, Affine([1], [0], [INT32_MAX - 127 * 255 - 1]))
        if fits:
            Network("head", frame, steps, (layer,))
        else:
            with pytest.raises(NetworkError, match="head: logits can reach 42949672.., int32 ends at 2147483647"):
                Network("head", frame, steps, (layer,))


@pytest.mark.parametrize("bits", CODE_BITS)
def test_weights_at_the_ends_of_their_range_are_accepted(bits):
    low, high = {1: (-1, 1), 2: (-2, 1), 4: (-8, 7), 8: (-127, 127)}[bits]
    assert weighted(bits, low).layers[0].weight.min() == low and weighted(bits, high).layers[0].weight.max() == high
