"""The neurons of lif.py in C++ (native/fire.cc): one pass over the currents forward, one backward.

It takes dense float32 and bfloat16 tensors of the CPU. Membranes are float32 in either case, where torch's operators
round them to bfloat16 after each operation; the surrogates agree with surrogate.py to 1e-6. Every neuron is computed
by itself, so that the result depends neither on the number of threads nor on the memory format.
"""

import ctypes
import warnings
from functools import lru_cache
from pathlib import Path

import torch
from torch.autograd.function import once_differentiable

from ..errors import ToolMissing
from ..runtime.native_build import build

SOURCE = Path(__file__).parent / "native" / "fire.cc"
FLAGS = ("-O3", "-march=native", "-fopenmp", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")
SURROGATES = ("triangle", "rectangle", "sigmoid", "arctan")  # in the order of fire.cc
DTYPES = (torch.float32, torch.bfloat16)


class _Neuron(ctypes.Structure):
    """Mirror of Neuron in fire.cc."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("num_neurons", "num_steps", "replay")),
        *((name, ctypes.c_float) for name in ("threshold", "s_max", "keep")),
        *((name, ctypes.c_int64) for name in ("reset_to_zero", "surrogate", "num_threads")),
    ]


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The compiled C++; None, with a warning, where there is no compiler. ctypes releases the GIL during its calls."""
    try:
        loaded = ctypes.CDLL(str(build("fire", [SOURCE], FLAGS)))
    except ToolMissing as error:
        warnings.warn(f"{error}. Until then torch's operators compute the neurons, slowly", stacklevel=2)
        return None
    pointer = ctypes.c_void_p
    loaded.qsnn_fire_forward.argtypes = [pointer, ctypes.c_int64, pointer, pointer]
    loaded.qsnn_fire_backward.argtypes = [pointer, ctypes.c_int64, pointer, pointer, pointer]
    return loaded


def takes(current: torch.Tensor, surrogate) -> bool:
    """Whether NativeFire computes these neurons; a tracer must see torch's operators."""
    return (
        current.device.type == "cpu"
        and current.dtype in DTYPES
        and surrogate.__name__ in SURROGATES
        and not (torch.jit.is_tracing() or torch.compiler.is_compiling())
        and library() is not None
    )


class NativeFire(torch.autograd.Function):
    """Arguments and result of lif.TorchFire."""

    @staticmethod
    def forward(ctx, current, num_steps, replay, threshold, s_max, leak_shift, reset_mode, surrogate):
        if not replay and len(current) % num_steps:
            raise ValueError(f"{len(current)} rows are no {num_steps} steps of equally many images")
        current, layout = _dense(current)
        shape = (num_steps * len(current), *current.shape[1:]) if replay else current.shape
        output = torch.empty(shape, dtype=current.dtype, memory_format=layout)
        neuron = _Neuron(
            num_neurons=output.numel() // num_steps, num_steps=num_steps, replay=replay, threshold=threshold,
            s_max=s_max, keep=1.0 if leak_shift is None else 1.0 - 2.0**-leak_shift,
            reset_to_zero=reset_mode == "zero", surrogate=SURROGATES.index(surrogate.__name__),
            num_threads=torch.get_num_threads(),
        )  # fmt: skip
        library().qsnn_fire_forward(
            ctypes.byref(neuron), current.dtype == torch.bfloat16, current.data_ptr(), output.data_ptr()
        )
        ctx.save_for_backward(current)
        ctx.neuron, ctx.layout = neuron, layout
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):
        (current,) = ctx.saved_tensors
        grad_output = grad_output.contiguous(memory_format=ctx.layout)
        grad_current = torch.empty_like(current, memory_format=ctx.layout)
        library().qsnn_fire_backward(
            ctypes.byref(ctx.neuron), current.dtype == torch.bfloat16, current.data_ptr(), grad_output.data_ptr(),
            grad_current.data_ptr(),
        )  # fmt: skip
        return grad_current, None, None, None, None, None, None, None


def _dense(tensor):
    """The tensor without gaps, its first axis outermost, and its memory format."""
    channels_last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return tensor.contiguous(memory_format=layout), layout
