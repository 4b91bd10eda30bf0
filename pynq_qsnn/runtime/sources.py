"""Frames for ``QsnnOverlay.stream`` from image folders, videos, cameras and recordings.

Each source is iterated over once and gives uint8 frames of one shape, [C, H, W] or, for events, [T, C, H, W]. Pictures
are cut to the frame's aspect ratio around their centre and scaled; one channel means grey, three mean red, green, blue.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import ConfigError, DataError, ToolMissing

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".gif", ".webp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v")


def centre(height: int, width: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of the largest part of a height x width picture with the aspect ratio of ``shape`` (C, H, W)."""
    _, rows, columns = shape
    scale = min(height / rows, width / columns)
    cut_rows, cut_columns = max(1, round(rows * scale)), max(1, round(columns * scale))
    top, left = (height - cut_rows) // 2, (width - cut_columns) // 2
    return slice(top, top + cut_rows), slice(left, left + cut_columns)


def _check_picture_shape(shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ConfigError(
            f"the network takes frames of shape {shape}; pictures give [1, H, W] (grey) or [3, H, W] (colour). "
            "Prepare the frames yourself and pass an array"
        )


class ImageFolder:
    """The pictures of a folder, in the order of their names; needs Pillow.

    path: pictures, or one folder a class with pictures inside, as torchvision's ImageFolder lays them out.
    shape: (C, H, W) of a frame.  files: what is read.  class_names, labels: int64 [N], None without class folders.

    Raises DataError for a folder without pictures, or, when its turn comes, for a file that is none.
    """

    def __init__(self, path: str | Path, shape: tuple[int, ...]):
        _check_picture_shape(shape)
        _need("PIL", "pillow")
        self.path, self.shape = Path(path), shape
        if not self.path.is_dir():
            raise DataError(f"no folder {path}")
        self.files, self.class_names, self.labels = _pictures(self.path), None, None
        if not self.files:
            folders = sorted(entry for entry in self.path.iterdir() if entry.is_dir())
            classes = [(folder.name, _pictures(folder)) for folder in folders]
            classes = [(name, files) for name, files in classes if files]
            self.files = [file for _, files in classes for file in files]
            self.class_names = tuple(name for name, _ in classes)
            self.labels = np.repeat(np.arange(len(classes)), [len(files) for _, files in classes]).astype(np.int64)
        if not self.files:
            raise DataError(f"{path} holds no pictures ({', '.join(IMAGE_SUFFIXES)}), nor do its folders")

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[np.ndarray]:
        from PIL import Image, ImageOps

        channels, height, width = self.shape
        for file in self.files:
            try:
                with Image.open(file) as opened:
                    if opened.mode[0] in "IF":
                        raise ValueError(f"its pixels are of mode {opened.mode}; save it with 8 bits a channel")
                    picture = ImageOps.exif_transpose(opened)  # phones store which way was up
                    rows, columns = centre(picture.height, picture.width, self.shape)
                    box = (columns.start, rows.start, columns.stop, rows.stop)
                    picture = picture.convert("L" if channels == 1 else "RGB").crop(box)
                    pixels = np.asarray(picture.resize((width, height), Image.BILINEAR))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise DataError(f"{file} cannot be read as a picture: {error}") from error
            yield pixels.reshape(height, width, channels).transpose(2, 0, 1)


def _pictures(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_file() and entry.suffix.lower() in IMAGE_SUFFIXES)


class Video:
    """A video file, or a camera by its number; needs OpenCV.

    A camera never ends: close the stream, or stop iterating. ``close`` gives it back.
    Raises DataError when it cannot be opened.
    """

    def __init__(self, path: str | Path | int, shape: tuple[int, ...]):
        _check_picture_shape(shape)
        self._cv2 = _need("cv2", "opencv-python-headless<4.11")
        self.shape, self._is_camera = shape, isinstance(path, int)
        self._name = f"camera {path}" if self._is_camera else str(path)
        if not self._is_camera and not Path(path).is_file():
            raise DataError(f"no video file {path}")
        self._capture = self._cv2.VideoCapture(path if self._is_camera else str(path))
        if not self._capture.isOpened():
            remedy = "is it plugged in, and free?" if self._is_camera else "is it a video that OpenCV can decode?"
            raise DataError(f"{self._name} cannot be opened: {remedy}")

    def __iter__(self) -> Iterator[np.ndarray]:
        cv2, (channels, height, width) = self._cv2, self.shape
        conversion = cv2.COLOR_BGR2GRAY if channels == 1 else cv2.COLOR_BGR2RGB
        while True:
            try:
                there, picture = self._capture.read()
                if there:
                    cut = picture[centre(*picture.shape[:2], self.shape)]
                    pixels = cv2.cvtColor(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA), conversion)
            except cv2.error as error:
                raise DataError(f"{self._name}: OpenCV failed on a frame: {error}") from error
            if not there:
                if self._is_camera:
                    raise DataError(f"{self._name} gives no more frames: was it unplugged?")
                return
            yield pixels.reshape(height, width, channels).transpose(2, 0, 1)

    def close(self) -> None:
        """Give the camera or the file back."""
        self._capture.release()


class Recording:
    """Frames kept as NumPy arrays; read from disk as they are needed.

    path: a .npy file with all frames, [N, C, H, W] or [N, T, C, H, W], or a folder of .npy files with one frame each,
        in the order of their names, as recordings of an event camera binned into T steps are kept.
    Raises DataError for a missing, damaged or foreign file.
    """

    def __init__(self, path: str | Path):
        path = Path(path)
        self.files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
        self._frames = None if path.is_dir() else _load(path)
        if not self.files:
            raise DataError(f"{path} holds no .npy files")
        if self._frames is not None and self._frames.ndim not in (4, 5):
            raise DataError(f"{path} has shape {self._frames.shape}, must be [N, C, H, W] or [N, T, C, H, W]")

    def __len__(self) -> int:
        return len(self.files if self._frames is None else self._frames)

    def __iter__(self) -> Iterator[np.ndarray]:
        if self._frames is not None:
            return iter(self._frames)
        return map(_load, self.files)


def _load(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"no file {path}") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is not a .npy array: {error}") from error


def open_source(name: str, shape: tuple[int, ...]):
    """The source that ``name`` means: a camera's number, a video, a .npy file, a folder of .npy files or of pictures.

    shape: of a frame, (C, H, W) or (T, C, H, W). Raises DataError, ConfigError, ToolMissing.
    """
    path = Path(name)
    if name.isdecimal() and not path.exists():
        return Video(int(name), shape)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return Video(path, shape)
    if path.suffix.lower() == ".npy" or (path.is_dir() and any(path.glob("*.npy"))):
        return Recording(path)
    if path.is_dir():
        return ImageFolder(path, shape)
    known = (
        f"a camera's number, a video ({', '.join(VIDEO_SUFFIXES)}), a .npy file, or a folder of .npy files or pictures"
    )
    raise DataError(f"{name} is no source of frames: give {known}")


def _need(module: str, package: str):
    try:
        return __import__(module)
    except ImportError as error:
        raise ToolMissing(f"this source needs {module} ({error}); type: pip install '{package}'") from error
