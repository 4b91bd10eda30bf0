"""Frames from folders, videos and recordings, and the command that streams them."""

import csv
import json
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from pynq_qsnn import cli
from pynq_qsnn.errors import ConfigError, DataError, ToolMissing
from pynq_qsnn.reference import Reference
from pynq_qsnn.runtime.sources import ImageFolder, Recording, Video, centre, open_source

SHAPE = (3, 6, 7)


@pytest.fixture
def image():
    return pytest.importorskip("PIL.Image", reason="pictures need pillow")


@pytest.fixture
def pictures(tmp_path, image, frames):
    """Folder of the frames as lossless pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, frame in enumerate(frames):
        image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0))).save(folder / f"{i:03}.png")
    return folder


@pytest.mark.parametrize(
    "height, width, shape, rows, columns",
    [
        (10, 10, (3, 8, 8), (0, 10), (0, 10)),
        (480, 640, (3, 32, 32), (0, 480), (80, 560)),
        (640, 480, (1, 32, 32), (80, 560), (0, 480)),
        (100, 300, (3, 10, 20), (0, 100), (50, 250)),
        (1, 1000, (3, 8, 8), (0, 1), (499, 500)),
    ],
)
def test_centre(height, width, shape, rows, columns):
    assert centre(height, width, shape) == (slice(*rows), slice(*columns))


class TestImageFolder:
    def test_pictures_of_the_right_size_are_untouched(self, pictures, frames):
        (pictures / "notes.txt").write_text("not a picture")
        source = ImageFolder(pictures, SHAPE)
        assert len(source) == len(frames) and source.labels is None
        assert np.array_equal(np.stack(list(source)), frames)

    def test_other_sizes_and_modes(self, tmp_path, image):
        picture = np.zeros((20, 60, 3), np.uint8)
        picture[:, :20], picture[:, 20:40], picture[:, 40:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
        image.fromarray(picture).convert("P").save(tmp_path / "a.gif")
        image.fromarray(np.full((9, 9), 77, np.uint8)).save(tmp_path / "b.png")
        green, grey = ImageFolder(tmp_path, (3, 8, 8))
        assert (green[0] < 10).all() and (green[1] > 245).all() and (green[2] < 10).all()  # the middle was cut out
        assert (grey == 77).all() and grey.shape == (3, 8, 8)
        assert next(iter(ImageFolder(tmp_path, (1, 5, 5)))).shape == (1, 5, 5)

    def test_the_way_up_that_a_camera_noted(self, tmp_path, image):
        picture = np.zeros((8, 16, 3), np.uint8)
        picture[:, 8:] = 255  # bright on the right; turned by a quarter, bright below
        exif = image.Exif()
        exif[0x0112] = 6
        image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
        (frame,) = ImageFolder(tmp_path, (1, 16, 8))
        assert frame[0, 2].max() < 10 and frame[0, -3].min() > 245

    @pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
    def test_deep_pixels_are_refused(self, tmp_path, image, dtype):
        image.fromarray(np.arange(64, dtype=dtype).reshape(8, 8)).save(tmp_path / "a.tif")
        with pytest.raises(DataError, match="8 bits a channel"):
            list(ImageFolder(tmp_path, (1, 8, 8)))

    def test_a_folder_a_class(self, tmp_path, image):
        for name, value in (("dog", 1), ("cat", 2), ("empty", None)):
            (tmp_path / name).mkdir()
            for i in range(2 if value else 0):
                image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(tmp_path / name / f"{i}.png")
        source = ImageFolder(tmp_path, (3, 4, 4))
        assert source.class_names == ("cat", "dog") and source.labels.tolist() == [0, 0, 1, 1]
        assert [frame.max() for frame in source] == [2, 2, 1, 1]

    def test_damaged_picture(self, pictures, frames):
        broken = pictures / "003.png"
        broken.write_bytes(broken.read_bytes()[:40])
        source = iter(ImageFolder(pictures, SHAPE))
        assert all(np.array_equal(next(source), frame) for frame in frames[:3])
        with pytest.raises(DataError, match=r"003\.png cannot be read"):
            next(source)

    def test_refused(self, tmp_path, image):
        with pytest.raises(DataError, match="no folder"):
            ImageFolder(tmp_path / "missing", SHAPE)
        with pytest.raises(DataError, match="holds no pictures"):
            ImageFolder(tmp_path, SHAPE)
        for shape in ((2, 8, 8), (4, 3, 8, 8)):
            with pytest.raises(ConfigError, match="pass an array"):
                ImageFolder(tmp_path, shape)


class TestVideo:
    @pytest.fixture
    def cv2(self):
        return pytest.importorskip("cv2", reason="videos need OpenCV")

    @pytest.fixture
    def film(self, tmp_path, cv2):
        """Red, green and blue for five frames each, 64 x 48."""
        path = tmp_path / "film.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
        for colour in ((0, 0, 255), (0, 255, 0), (255, 0, 0)):  # OpenCV's order is blue, green, red
            for _ in range(5):
                writer.write(np.full((48, 64, 3), colour, np.uint8))
        writer.release()
        return path

    def test_frames_in_order_as_rgb(self, film):
        frames = np.stack(list(Video(film, (3, 8, 10))))
        assert frames.shape == (15, 3, 8, 10) and frames.dtype == np.uint8
        assert frames.mean(axis=(2, 3)).argmax(axis=1).tolist() == [0] * 5 + [1] * 5 + [2] * 5

    def test_grey(self, film):
        frames = np.stack(list(Video(film, (1, 8, 8))))
        assert frames.shape == (15, 1, 8, 8) and 60 < frames[0].mean() < 95  # 0.3 of red

    def test_refused(self, tmp_path, cv2):
        with pytest.raises(DataError, match="no video file"):
            Video(tmp_path / "missing.mp4", SHAPE)
        (tmp_path / "text.mp4").write_text("no video")
        with pytest.raises(DataError, match="cannot be opened"):
            Video(tmp_path / "text.mp4", SHAPE)
        with pytest.raises(DataError, match="camera 97 cannot be opened"):
            Video(97, SHAPE)

    def test_a_camera_that_ends(self, film):
        camera = Video(film, SHAPE)
        camera._is_camera = True  # there is none here: a file in its place
        with pytest.raises(DataError, match="unplugged"):
            list(camera)

    def test_stream(self, film, overlay, program):
        frames = np.stack(list(Video(film, SHAPE)))
        logits = [result.logits for result in overlay.stream(Video(film, SHAPE))]
        assert np.array_equal(logits, Reference().load(program).run(frames))


@pytest.mark.parametrize("module, package", [("cv2", "opencv-python-headless"), ("PIL", "pillow")])
def test_a_missing_package_is_named(tmp_path, monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(ToolMissing, match=package):
        Video(0, SHAPE) if module == "cv2" else ImageFolder(tmp_path, SHAPE)


class TestRecording:
    def test_one_file(self, tmp_path, frames):
        np.save(tmp_path / "frames.npy", frames)
        source = Recording(tmp_path / "frames.npy")
        assert len(source) == len(frames) and np.array_equal(np.stack(list(source)), frames)

    def test_a_file_an_event_recording(self, tmp_path):
        events = np.random.default_rng(0).integers(0, 2, (4, 3, 2, 5, 5), np.uint8)
        for i, recording in enumerate(events):
            np.save(tmp_path / f"{i}.npy", recording)
        source = Recording(tmp_path)
        assert len(source) == 4 and np.array_equal(np.stack(list(source)), events)

    @pytest.mark.parametrize("damage", ["truncated", "text", "pickle", "axes", "missing", "empty folder"])
    def test_refused(self, tmp_path, frames, damage):
        path = tmp_path / "x.npy"
        if damage == "truncated":
            np.save(path, frames)
            path.write_bytes(path.read_bytes()[:-100])
        elif damage == "text":
            path.write_text("no array")
        elif damage == "pickle":
            np.save(path, np.array([{}], object), allow_pickle=True)
        elif damage == "axes":
            np.save(path, frames[0])
        elif damage == "empty folder":
            path = tmp_path
        with pytest.raises(DataError):
            Recording(path)


def test_open_source(tmp_path, pictures, frames):
    np.save(tmp_path / "frames.npy", frames)
    assert isinstance(open_source(str(tmp_path / "frames.npy"), SHAPE), Recording)
    assert isinstance(open_source(str(tmp_path), SHAPE), Recording)
    assert isinstance(open_source(str(pictures), SHAPE), ImageFolder)
    for name in ("nothing", str(tmp_path / "x.txt")):
        with pytest.raises(DataError, match="is no source of frames"):
            open_source(name, SHAPE)


class TestCommand:
    @pytest.fixture
    def files(self, tmp_path, program, frames):
        program.save(tmp_path / "tiny.qprog")
        np.save(tmp_path / "frames.npy", frames)
        return tmp_path

    def stream(self, files, *more) -> int:
        source = [] if "--source" in more else ["--source", str(files / "frames.npy")]
        return cli.main(["stream", str(files / "tiny.qprog"), "--batch", "4", *source, *more])

    def test_report_and_rows(self, files, frames, logits, capsys):
        assert self.stream(files, "--json", str(files / "r.json"), "--csv", str(files / "r.csv")) == 0
        report = json.loads((files / "r.json").read_text())
        assert report["frames"] == len(frames) and report["method"] == "emulated (cycle model)"
        rows = list(csv.DictReader((files / "r.csv").open()))
        assert [int(row["class"]) for row in rows] == logits.argmax(axis=1).tolist()
        assert all(float(row["arrived_s"]) <= float(row["finished_s"]) for row in rows)
        assert "emulated (cycle model)" in capsys.readouterr().out

    def test_fewer_frames(self, files):
        assert self.stream(files, "--frames", "3", "--json", str(files / "r.json")) == 0
        assert json.loads((files / "r.json").read_text())["frames"] == 3

    def test_accuracy_of_class_folders(self, files, image, frames, logits, capsys):
        for i, (frame, label) in enumerate(zip(frames, logits.argmax(axis=1))):
            folder = files / "classes" / f"class{label}"
            folder.mkdir(parents=True, exist_ok=True)
            image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0))).save(folder / f"{i:02}.png")
        present = sorted(set(logits.argmax(axis=1)))
        expected = 100 * np.mean([present.index(label) == label for label in logits.argmax(axis=1)])
        assert self.stream(files, "--source", str(files / "classes"), "--json", str(files / "r.json")) == 0
        assert json.loads((files / "r.json").read_text())["accuracy_percent"] == pytest.approx(expected)

    def test_a_damaged_picture_in_the_middle_keeps_the_rows_before(self, files, pictures, logits, capsys):
        (pictures / "006.png").write_bytes(b"broken")
        assert self.stream(files, "--source", str(pictures), "--csv", str(files / "r.csv")) == 2
        rows = list(csv.DictReader((files / "r.csv").open()))
        assert [int(row["class"]) for row in rows] == logits[:6].argmax(axis=1).tolist()
        assert "006.png" in capsys.readouterr().err

    def test_wrong_frames(self, files, frames, capsys):
        np.save(files / "frames.npy", frames[..., :-1])
        assert self.stream(files) == 2
        assert "must be [N, C, H, W]" in capsys.readouterr().err

    def test_ctrl_c_prints_the_figures(self, files, frames):
        np.save(files / "frames.npy", np.concatenate([frames] * 20000))
        command = [
            sys.executable,
            "-m",
            "pynq_qsnn",
            "stream",
            str(files / "tiny.qprog"),
            "--csv",
            str(files / "r.csv"),
        ]
        command += ["--source", str(files / "frames.npy")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        moving = threading.Event()

        def watch():
            for text in iter(lambda: process.stderr.read(40), ""):  # the bar moves
                if "frame/s" in text:
                    moving.set()

        threading.Thread(target=watch, daemon=True).start()
        try:
            if not moving.wait(30):
                pytest.skip("no progress bar here: tqdm is not installed")
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            output = process.stdout.read()
            assert process.wait(30) == 0
        finally:
            process.kill()
        assert "interrupted" in output and "kernel busy" in output
        assert len((files / "r.csv").read_text().splitlines()) > 10
