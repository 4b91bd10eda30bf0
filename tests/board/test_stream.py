"""stream(): order, double buffering, and a clean end however it ends."""

import numpy as np
import pytest
from conftest import BATCH_SIZE

from pynq_qsnn.errors import DeviceError, DeviceTimeout, FrameError


def items(array: np.ndarray, sizes) -> list[np.ndarray]:
    """Split into pieces of the given sizes."""
    return np.split(array, np.cumsum(sizes)[:-1])


def test_one_result_an_item_in_order(overlay, frames, logits):
    sizes = (1, 6, BATCH_SIZE)
    results = list(overlay.stream(iter(items(frames, sizes))))
    assert [len(r) for r in results] == list(sizes)
    assert np.array_equal(np.concatenate(results), logits)
    assert list(overlay.stream([])) == []


def test_next_batch_is_prepared_while_the_kernel_runs(overlay, frames, logits):
    requests = []

    def source():
        for i in range(6):
            requests.append((i, overlay._runner.running is not None))
            yield frames[i : i + 1]

    for i, result in enumerate(overlay.stream(source())):
        assert np.array_equal(result, logits[i : i + 1])
        assert len(requests) <= i + 2  # bounded: one ahead
    assert requests == [(0, False), *((i, True) for i in range(1, 6))]


def test_closing_early(overlay, frames, check_right):
    stream = overlay.stream(items(frames, (4, 4, 3)))
    next(stream)
    stream.close()
    assert overlay._runner.running is None
    check_right()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_source_raises(overlay, board, frames, check_right, error):
    def source():
        yield frames[:3]
        yield frames[3:5]
        raise error("source")

    with pytest.raises(error):
        list(overlay.stream(source()))
    assert overlay._runner.running is None and board.loads == 1
    check_right()


def test_wrong_item_in_the_middle(overlay, frames, check_right):
    with pytest.raises(FrameError):
        list(overlay.stream([frames[:3], frames[:, :1], frames[3:5]]))
    check_right()


def test_consumer_raises(overlay, frames, check_right):
    with pytest.raises(ZeroDivisionError):
        for _ in overlay.stream(items(frames, (4, 4, 3))):
            raise ZeroDivisionError
    check_right()


def test_error_in_the_second_batch(overlay, board, frames, logits, check_right):
    def source():
        yield frames[:3]
        board.faults.kernel_hangs = 1
        yield frames[3:5]
        yield frames[5:7]

    stream = overlay.stream(source())
    assert np.array_equal(next(stream), logits[:3])
    with pytest.raises(DeviceTimeout):
        next(stream)
    check_right()


def test_another_call_ends_the_stream(overlay, frames, logits):
    stream = overlay.stream(items(frames, (4, 4, 3)))
    next(stream)
    assert np.array_equal(overlay.execute(frames[5:]), logits[5:])
    with pytest.raises(DeviceError, match="another call"):
        next(stream)


@pytest.mark.parametrize("name", ["wait", "read_logits", "time_log", "layer_cycles"])
def test_looking_at_the_batch_that_runs_loses_nothing(overlay, frames, logits, name):
    batches = items(frames, (3, 1, 2, 4, 1))
    expected = items(logits, (3, 1, 2, 4, 1))
    results = []
    for result in overlay.stream(batches):
        results.append(result)
        seen = getattr(overlay, name)()
        if name == "read_logits":
            assert np.array_equal(seen, expected[min(len(results), 4)])
        if name == "time_log":
            frames_seen = len(expected[min(len(results), 4)])
            assert len(seen) == len(overlay.program.executions(frames_seen))
    assert len(results) == len(batches)
    assert all(np.array_equal(result, right) for result, right in zip(results, expected))


@pytest.mark.parametrize("name", ["wait", "read_logits", "time_log", "layer_cycles"])
def test_source_looks_at_the_batch_that_runs(overlay, frames, logits, name):
    def source():
        for i, batch in enumerate(items(frames, (4, 4, 3))):
            if i:
                getattr(overlay, name)()
            yield batch

    assert np.array_equal(np.concatenate(list(overlay.stream(source()))), logits)


def test_batch_that_failed_in_another_call_ends_the_stream(overlay, board, frames, check_right):
    def source():
        yield frames[:3]
        board.faults.kernel_hangs = 1
        yield frames[3:5]
        yield frames[5:7]

    stream = overlay.stream(source())
    next(stream)
    with pytest.raises(DeviceTimeout):
        overlay.wait()
    with pytest.raises(DeviceError, match="another call"):
        next(stream)
    check_right()


def test_source_that_runs_the_overlay_ends_the_stream(overlay, frames, logits, check_right):
    def source():
        yield frames[:4]
        assert np.array_equal(overlay.execute(frames[4:]), logits[4:])
        yield frames[4:]

    with pytest.raises(DeviceError, match="another call"):
        list(overlay.stream(source()))
    check_right()


def test_closing_the_overlay_ends_the_stream(overlay, frames):
    stream = overlay.stream(items(frames, (4, 4, 3)))
    next(stream)
    overlay.close()
    with pytest.raises(DeviceError):
        next(stream)


def test_forgotten_stream_does_not_disturb_a_later_call(overlay, frames, logits):
    forgotten = overlay.stream(items(frames, (4, 4, 3)))
    next(forgotten)
    overlay.write_packed(overlay.pack(frames[:2]))
    overlay.execute_on_buffers(asynch=True)
    forgotten.close()
    assert np.array_equal(overlay.read_logits(), logits[:2])
