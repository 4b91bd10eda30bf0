"""Frames at hand: real ones where they are, patterns and advice where not, and never a download."""

import urllib.request

import numpy as np
import pytest

from pynq_qsnn.data import cifar
from pynq_qsnn.data.stand_in import NUM_PATTERNS, frames_at_hand, patterns


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a download was tried")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setenv("PYNQ_QSNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PYNQ_QSNN_DATA", raising=False)


def test_patterns_repeat_and_fill_the_range():
    images = patterns(20, (3, 32, 30))
    assert images.shape == (20, 3, 32, 30) and images.dtype == np.uint8
    assert images.min() < 10 and images.max() > 245
    assert np.array_equal(images, patterns(20, (3, 32, 30))) and not np.array_equal(
        images, patterns(20, (3, 32, 30), 1)
    )


def test_without_data_patterns_come_with_advice():
    images, labels, text = frames_at_hand("cifar10", (3, 32, 32))
    assert images.shape == (NUM_PATTERNS, 3, 32, 32) and labels is None
    assert "load_dataset('cifar10', 'test')" in text and "PYNQ_QSNN_DATA" in text and "no class" in text


def test_a_folder_without_the_data_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PYNQ_QSNN_DATA", str(tmp_path))
    _, labels, text = frames_at_hand("cifar10", (3, 32, 32))
    assert labels is None and str(tmp_path) in text


def test_an_archive_that_was_downloaded_is_used(tmp_path):
    from training.test_data import write_archive

    (tmp_path / "cache").mkdir()
    write_archive(tmp_path / "cache" / "cifar-10-binary.tar.gz")
    images, labels, text = frames_at_hand("cifar10", (3, 32, 32))
    assert len(images) == len(labels) == 3 and text.startswith("3 test images of cifar10")
    assert cifar.CIFAR10.url.endswith("cifar-10-binary.tar.gz")


def test_data_that_need_a_missing_package_are_replaced(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    images, labels, text = frames_at_hand("digits", (1, 8, 8))
    assert images.shape[1:] == (1, 8, 8) and labels is None and "sklearn" in text
