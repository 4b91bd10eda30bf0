"""What the driver does on a machine without a PYNQ device: an emulated board, except on a KV260."""

import pytest

from pynq_qsnn.errors import DeviceError
from pynq_qsnn.runtime import machine
from pynq_qsnn.runtime.driver import QsnnOverlay

KV260 = b"xlnx,zynqmp-sk-kv260-rev1\0xlnx,zynqmp-sk-kv260\0xlnx,zynqmp-smk-k26\0xlnx,zynqmp\0"


@pytest.fixture
def device_tree(tmp_path, monkeypatch):
    """The device tree's file of names, missing until it is written."""
    file = tmp_path / "compatible"
    monkeypatch.setattr(machine, "DEVICE_TREE", file)
    return file


@pytest.mark.parametrize("bitfile", [None, "qsnn_kv260.bit"])
def test_kv260_without_a_device_is_not_emulated_silently(device_tree, bitfile):
    device_tree.write_bytes(KV260)
    with pytest.raises(DeviceError, match="this is a KV260.*run as root.*sudo -E.*open_board()"):
        QsnnOverlay(bitfile)


def test_emulated_board_opened_on_a_kv260_on_purpose(device_tree, emulated):
    device_tree.write_bytes(KV260)
    with QsnnOverlay() as overlay:
        assert overlay.is_emulated


@pytest.mark.parametrize("names, kv260", [(KV260, True), (b"xlnx,zynqmp-smk-k26\0", True), (b"other,arm64\0", False)])
def test_boards_are_told_by_the_device_tree(device_tree, names, kv260):
    assert not machine.is_kv260() and machine.board_names() == ""
    device_tree.write_bytes(names)
    assert machine.is_kv260() is machine.is_kv260(machine.board_names()) is kv260
