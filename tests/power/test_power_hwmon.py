"""The INA260's files: found by name, read through a real descriptor or a callable, and every way this fails."""

import errno
from types import SimpleNamespace

import pytest
from hwmon_tree import write_hwmon

from pynq_qsnn.errors import SensorError, SensorMissing
from pynq_qsnn.runtime.power.hwmon import HwmonSensor, file_access, find_hwmon


@pytest.mark.parametrize("names", [["ina260_u14", "ams"], ["ams", "nvme", "ina260_u14"], ["ina226_u1", "ina260_u5"]])
def test_found_by_name_at_any_index(tmp_path, names):
    write_hwmon(tmp_path, names, 5_120_000)
    index = next(i for i, name in enumerate(names) if name.startswith("ina260"))
    sensor = HwmonSensor(root=str(tmp_path))
    assert sensor.path == f"{tmp_path}/hwmon{index}/power1_input"
    assert sensor.watts() == 5.12
    (tmp_path / f"hwmon{index}" / "power1_input").write_text("4300000\n")
    assert sensor.watts() == 4.3  # the same descriptor, read again
    sensor.close()
    sensor.close()


def test_indices_may_have_holes(tmp_path):
    write_hwmon(tmp_path, ["ams", "nvme", "ina260_u14"])
    (tmp_path / "hwmon1" / "name").unlink()
    assert find_hwmon(root=str(tmp_path)).endswith("hwmon2")


def test_missing_says_what_was_looked_for_found_and_what_to_type(tmp_path):
    with pytest.raises(SensorMissing, match=r"= ina260\*, found no hwmon at all.*modprobe"):
        HwmonSensor(root=str(tmp_path))
    write_hwmon(tmp_path, ["ina226_u76"])
    with pytest.raises(SensorMissing, match="found hwmon0 'ina226_u76'.*sudo modprobe -a ina260-adc iio-hwmon"):
        HwmonSensor(root=str(tmp_path))
    assert issubclass(SensorMissing, SensorError) and issubclass(SensorMissing, FileNotFoundError)


def test_a_sensor_without_a_power_file(tmp_path):
    write_hwmon(tmp_path, ["ina260_u14"]).unlink()
    with pytest.raises(SensorMissing, match="power1_input: No such file"):
        HwmonSensor(root=str(tmp_path))


@pytest.mark.parametrize("denied", ["name", "power1_input"])
def test_permission_denied(denied):
    def read(path):
        if path.endswith(denied):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return b"ina260_u14\n"

    with pytest.raises(SensorError, match=f"{denied}: permission denied. Run as root") as caught:
        HwmonSensor(read=read).watts()
    assert isinstance(caught.value.__cause__, PermissionError)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds b'', not microwatts"),
        (b"<error>\n", "not microwatts"),
        (b"4.2\n", "not microwatts"),
        (b"-4200000\n", "reads -4.2 W"),
        (b"0\n", "reads 0 W"),
        (b"4294967295000\n", r"reads 4.29497e\+06 W; a KV260"),
    ],
)
def test_garbage(tmp_path, content, message):
    power = write_hwmon(tmp_path, ["ina260_u14"])
    sensor = HwmonSensor(root=str(tmp_path))
    power.write_bytes(content)
    with pytest.raises(SensorError, match=message):
        sensor.watts()
    sensor.close()


def test_a_sensor_that_goes_away():
    alive = True

    def read(path):
        if not alive:
            raise OSError(errno.ENODEV, "No such device", path)
        return b"ina260_u14\n" if path.endswith("name") else b"4200000\n"

    sensor = HwmonSensor(read=read)
    assert sensor.watts() == 4.2
    alive = False
    with pytest.raises(SensorError, match="cannot be read any more: No such device"):
        sensor.watts()


def test_reader_of_a_local_board_is_the_file_system():
    assert file_access(object()) == (None, None)


class FarBoard:
    """A board behind a connection, like pynq's remote device: it is not known what reading a missing file does."""

    def __init__(self, **files):
        self.files, self.calls = {f"/sys/class/hwmon/{name.replace('__', '/')}": t for name, t in files.items()}, []

    def exists_file(self, path):
        self.calls.append(("exists", path))
        return SimpleNamespace(exists=path in self.files)

    def read_file(self, path):
        self.calls.append(("read", path))
        assert path in self.files, f"{path} was read without asking"
        return self.files[path]


def test_a_reading_of_a_board_behind_a_connection_is_one_call():
    board = FarBoard(hwmon1__name=b"ams\n", hwmon3__name=b"ina260_u14\n", hwmon3__power1_input=b"4200000\n")
    read, exists = file_access(board)
    sensor = HwmonSensor(read=read, exists=exists)
    board.calls.clear()
    assert [sensor.watts() for _ in range(3)] == [4.2] * 3
    assert board.calls == 3 * [("read", "/sys/class/hwmon/hwmon3/power1_input")]


def test_a_board_behind_a_connection_without_the_sensor():
    for files, message in (({}, "found no hwmon at all"), ({"hwmon0__name": b"ina260_u14\n"}, "input: no such file")):
        read, exists = file_access(FarBoard(**files))
        with pytest.raises(SensorMissing, match=message):
            HwmonSensor(read=read, exists=exists)
