"""The contract: generated header, fingerprint, overlay configuration, records and their bits."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pynq_qsnn import hwspec
from pynq_qsnn.errors import ConfigError
from pynq_qsnn.hwspec import DEFAULT_CONFIG, Field, cpp_header, load_config
from pynq_qsnn.packing import WORD_BYTES, pack_record, unpack_record
from pynq_qsnn.paths import resource

ROOT = Path(__file__).resolve().parents[1]
HEADER = resource("hls", "include", "hw_spec.hpp")
CONFIG = load_config()


def header_constants(text: str) -> dict[str, int]:
    """ "namespace::kName" -> value of a generated header."""
    found, namespace = {}, ""
    for line in text.splitlines():
        if match := re.match(r"namespace (\w+) \{", line):
            namespace = match[1]
        elif line.startswith("}"):
            namespace = "hw"
        elif match := re.match(r"constexpr (?:int|unsigned long long) (\w+) = (\w+);", line):
            found[f"{namespace}::{match[1]}"] = int(match[2].removesuffix("ULL"), 0)
    return found


def test_committed_header_is_the_generated_one():
    assert HEADER.read_bytes() == cpp_header(CONFIG).encode(), "run: python -m pynq_qsnn.hwspec --write"


def test_the_command_prints_the_header(tmp_path):
    other = tmp_path / "config.json"
    other.write_text(json.dumps({**dataclasses.asdict(CONFIG), "clock_mhz": 100}))
    for words, config in (([], CONFIG), (["--config", str(other)], load_config(other))):
        command = [sys.executable, "-m", "pynq_qsnn.hwspec", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.stdout == cpp_header(config)


@pytest.mark.parametrize("name", hwspec.RECORDS)
def test_header_places_the_bits_where_packing_does(name):
    record, constants = hwspec.RECORDS[name], header_constants(HEADER.read_text())
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = {f.name: int(rng.integers(0, 1 << min(f.bits, 62), dtype=np.int64)) for f in record}
        words = pack_record(record, values)
        assert words.shape == (constants[f"{name}::kWords"], WORD_BYTES) and words.dtype == np.uint8
        assert unpack_record(record, words) == values
        number = int.from_bytes(words.tobytes(), "little")
        for field in record:
            stem = "".join(part.capitalize() for part in field.name.split("_"))
            lsb, bits = constants[f"{name}::k{stem}Lsb"], constants[f"{name}::k{stem}Bits"]
            assert number >> lsb & (1 << bits) - 1 == values[field.name]
            assert lsb + bits <= words.size * 8


def test_header_has_every_number_and_code():
    constants = header_constants(HEADER.read_text())
    assert (
        constants["hw::kFingerprint"]
        == CONFIG.fingerprint64
        == int(CONFIG.fingerprint[14:16], 16) << 56 | (CONFIG.fingerprint64 & (1 << 56) - 1)
    )
    assert constants["hw::kProgramMagic"].to_bytes(4, "little") == b"QSNN"
    assert constants["hw::kOutputLanes"] == CONFIG.output_lanes
    assert constants["hw::kFractionBits"] == 16 and constants["hw::kMultiplierBits"] == 18
    for table, codes in hwspec.ENUMERATIONS.items():
        values = [value for value, _ in codes.values()]
        assert len(set(values)) == len(values), f"two codes of {table} are equal"
        for name, value in zip(codes, values):
            stem = "".join(part.capitalize() for part in name.lower().split("_"))
            assert constants[f"{table}::k{stem}"] == value


def test_negative_fields_are_twos_complement_and_overflow_is_refused():
    empty = {f.name: 0 for f in hwspec.CHANNEL_PARAMETERS}
    words = pack_record(hwspec.CHANNEL_PARAMETERS, {**empty, "bias": -1, "multiplier": -(1 << 17)})
    assert unpack_record(hwspec.CHANNEL_PARAMETERS, words) == {**empty, "bias": 2**32 - 1, "multiplier": 1 << 17}
    for name, value in (("shift", 64), ("bias", 1 << 32), ("bias", -(1 << 31) - 1), ("multiplier", 1 << 18)):
        with pytest.raises(ValueError, match=rf"{name} = {value} does not fit"):
            pack_record(hwspec.CHANNEL_PARAMETERS, {**empty, name: value})
    with pytest.raises(ValueError, match="unknown: \\['new'\\]"):
        pack_record(hwspec.CHANNEL_PARAMETERS, {**empty, "new": 0})
    with pytest.raises(ValueError, match="bias"):
        pack_record(hwspec.CHANNEL_PARAMETERS, {"shift": 0})


OTHER_VALUES = {
    "name": "other", "part": "xck24-ubva530-2LV-c", "board_part": "other", "clock_mhz": 300, "bus_bits": None,
    "slots": (2, "activation_banks"), "input_lanes": None, "output_lanes": 16, "cascade_length": None,
    "block_groups": (16, "maximum_steps"), "minimum_groups": 16, "activation_banks": (2, "slots"),
    "activation_bank_words": 4096, "weight_ring_beats": 1024, "group_frames": 2, "maximum_channels": 1024,
    "maximum_steps": 16, "maximum_kernel": 8, "dma_length_bits": 23, "address_bits": 36,
    "resources": {**CONFIG.resources, "uram": 96},
}  # fmt: skip


@pytest.mark.parametrize("entry", [field.name for field in dataclasses.fields(hwspec.HardwareConfig)])
def test_fingerprint_changes_with_every_config_entry(entry):
    other = OTHER_VALUES[entry]
    if other is None:  # fixed by the 128-bit words or the kernel: another value is refused
        with pytest.raises(ConfigError, match=entry):
            dataclasses.replace(CONFIG, **{entry: getattr(CONFIG, entry) * 2})
        return
    changes = {entry: other[0], other[1]: other[0]} if isinstance(other, tuple) else {entry: other}
    changed = dataclasses.replace(CONFIG, **changes)
    assert changed.fingerprint != CONFIG.fingerprint and changed.fingerprint64 != CONFIG.fingerprint64
    assert cpp_header(changed) != cpp_header(CONFIG)


def fresh_fingerprint() -> str:
    return load_config().fingerprint


def changed_record(record):
    """Every way to change one record: width, meaning, name, order, one more field."""
    first, second, *rest = record
    yield (Field(first.name, first.bits + 1, first.meaning), second, *rest)
    yield (Field(first.name, first.bits, first.meaning + "!"), second, *rest)
    yield (Field(first.name + "x", first.bits, first.meaning), second, *rest)
    yield (second, first, *rest)
    yield (*record, Field("one_more", 1, "new"))


@pytest.mark.parametrize("name", hwspec.RECORDS)
def test_fingerprint_changes_with_every_record(name, monkeypatch):
    seen = {fresh_fingerprint()}
    for changed in changed_record(hwspec.RECORDS[name]):
        monkeypatch.setitem(hwspec.RECORDS, name, changed)
        seen.add(fresh_fingerprint())
    assert len(seen) == 6


def test_fingerprint_changes_with_codes_arguments_numerics_and_version(monkeypatch):
    seen = {fresh_fingerprint()}
    for table in hwspec.ENUMERATIONS.values():
        with monkeypatch.context() as patch:
            name, (value, meaning) = next(iter(table.items()))
            patch.setitem(table, name, (value + 100, meaning))
            seen.add(fresh_fingerprint())
    with monkeypatch.context() as patch:
        patch.setattr(hwspec, "KERNEL_ARGUMENTS", hwspec.KERNEL_ARGUMENTS[::-1])
        seen.add(fresh_fingerprint())
    with monkeypatch.context() as patch:
        patch.setattr(hwspec, "SPEC_VERSION", hwspec.SPEC_VERSION + 1)
        seen.add(fresh_fingerprint())
    numerics = hwspec.numerics_fingerprint()
    monkeypatch.setitem(hwspec.NUMERICS, "fraction_bits", 15)
    seen.add(fresh_fingerprint())
    assert hwspec.numerics_fingerprint() != numerics
    assert len(seen) == len(hwspec.ENUMERATIONS) + 4


def test_retuning_the_overlay_leaves_model_files_valid(monkeypatch):
    numerics = hwspec.numerics_fingerprint()
    monkeypatch.setitem(hwspec.OPCODES, "END", (9, "moved"))
    assert hwspec.numerics_fingerprint() == numerics


def refuse(tmp_path, content: str, match: str):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=match):
        load_config(path)


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"bus_bits": 256}, "bus_bits is 256"),
        ({"input_lanes": 8}, "input_lanes is 8"),
        ({"slots": 8}, "activation_banks"),
        ({"slots": 3, "activation_banks": 3}, "slots is 3"),
        ({"slots": 1, "activation_banks": 1}, "slots is 1"),
        ({"slots": 6, "activation_banks": 6}, "slots is 6"),
        ({"output_lanes": 24}, "output_lanes is 24"),
        ({"output_lanes": 64, "minimum_groups": 16}, "output_lanes is 64"),
        ({"cascade_length": 8}, "cascade_length is 8"),
        ({"cascade_length": 3}, "cascade_length is 3"),
        ({"cascade_length": 2}, "cascade_length is 2"),
        ({"maximum_steps": 64}, "hold all steps"),
        ({"minimum_groups": 7}, "within minimum_groups"),
        ({"block_groups": 256}, "exceed their fields"),
        ({"maximum_kernel": 32}, "exceed their fields"),
        ({"activation_bank_words": 65537}, "16-bit base"),
        ({"clock_mhz": 0}, "clock_mhz is 0"),
        ({"output_lanes": -16}, "output_lanes is -16"),
        ({"dma_length_bits": 40}, "dma_length_bits is 40"),
        ({"address_bits": 3}, "address_bits is 3"),
        ({"weight_ring_beats": 1024.5}, "weight_ring_beats is 1024.5"),
        ({"weight_ring_beats": 1025}, "whole weight tiles"),
        ({"weight_ring_beats": 80}, "weight_ring_beats is 80, the ring needs 11 weight tiles of 8 beats"),
        ({"group_frames": 256}, "group_frames is 256"),
        ({"maximum_channels": "2048"}, "maximum_channels is '2048'"),
        ({"slots": True, "activation_banks": True}, "slots is True"),
        ({"name": 3}, "name is 3"),
        ({"resources": [1]}, "resources is"),
        ({"lanes": 4}, "lanes"),
    ],
)
def test_bad_config_entries_are_refused(tmp_path, changes, match):
    refuse(tmp_path, json.dumps({**dataclasses.asdict(CONFIG), **changes}), match)


@pytest.mark.parametrize("entry", [field.name for field in dataclasses.fields(hwspec.HardwareConfig)])
def test_missing_config_entries_are_named(tmp_path, entry):
    values = dataclasses.asdict(CONFIG)
    del values[entry]
    refuse(tmp_path, json.dumps(values), entry)


def test_config_files_that_are_none(tmp_path):
    refuse(tmp_path, DEFAULT_CONFIG.read_text()[:-20], "config.json")
    refuse(tmp_path, "[1, 2]", "config.json")
    with pytest.raises(ConfigError, match="no overlay config at .*absent.json"):
        load_config(tmp_path / "absent.json")
    with pytest.raises(ConfigError, match="config"):
        load_config(tmp_path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="binary.json"):
        load_config(tmp_path / "binary.json")
