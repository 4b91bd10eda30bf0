"""The C++ of native/, compiled at first use: what a layer does beside its matrix product, in few passes over memory.

It takes float32 and bfloat16 tensors of the CPU. What it computes depends neither on the number of threads nor on the
run: sums are taken in parts that the shape alone decides.
"""

import ctypes
import warnings
from functools import lru_cache
from pathlib import Path

import torch

from ..errors import ToolMissing
from ..runtime.native_build import build

FOLDER = Path(__file__).parent / "native"
SOURCES = (FOLDER / "fire.cc", FOLDER / "pool.cc")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")
DTYPES = (torch.float32, torch.bfloat16)


@lru_cache(maxsize=1)
def kernels() -> ctypes.CDLL | None:
    """The compiled C++; None, with a warning, where there is no compiler. ctypes releases the GIL during its calls."""
    try:
        loaded = ctypes.CDLL(str(build("training", SOURCES, FLAGS)))
    except ToolMissing as error:
        warnings.warn(f"{error}. Until then torch's operators compute the neurons, slowly", stacklevel=2)
        return None
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    loaded.qsnn_moments.argtypes = [integer, pointer, integer, integer, integer, pointer, pointer]
    loaded.qsnn_fire_forward.argtypes = [integer, *[pointer] * 5]
    loaded.qsnn_fire_backward.argtypes = [integer, *[pointer] * 8]
    loaded.qsnn_combine.argtypes = [integer, pointer, pointer, integer, integer, integer, *[pointer] * 3]
    loaded.qsnn_max_pool_forward.argtypes = [integer, *[pointer] * 4]
    loaded.qsnn_max_pool_backward.argtypes = [integer, *[pointer] * 4]
    return loaded


def takes(tensor: torch.Tensor) -> bool:
    """Whether the C++ is for this tensor. A tracer must see torch's operators."""
    return (
        tensor.device.type == "cpu"
        and tensor.dtype in DTYPES
        and not (torch.jit.is_tracing() or torch.compiler.is_compiling())
        and kernels() is not None
    )


def call(name: str, dtype: torch.dtype, *arguments) -> None:
    """Call function `name` of the library: tensors and structures are passed by address."""
    plain = [
        a.data_ptr() if isinstance(a, torch.Tensor) else ctypes.addressof(a) if isinstance(a, ctypes.Structure) else a
        for a in arguments
    ]
    getattr(kernels(), name)(dtype == torch.bfloat16, *plain)
