"""Packaging of pynq_qsnn. The wheel carries overlays/, hls/, models/ and notebooks/ too, see pynq_qsnn/paths.py."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
# Read, not imported: a build environment has no NumPy.
VERSION = re.search(r'^__version__ = "([^"]+)"', (ROOT / "pynq_qsnn/__init__.py").read_text(), re.MULTILINE)[1]

# Folders of the checkout's top level that a wheel carries as data below the package.
DATA_PACKAGES = {
    "pynq_qsnn.overlays": "overlays",
    "pynq_qsnn.overlays.kv260": "overlays/kv260",
    "pynq_qsnn.hls": "hls",
    "pynq_qsnn.models": "models",
    "pynq_qsnn.notebooks": "notebooks",
}

EXTRAS = {
    # Kria-PYNQ brings both; pynq 3.0.1 imports IPython and pycparser's plyparser without declaring them.
    "board": ["pynq>=3.0.1,<5", "ipython", "pycparser<3"],
    # Brevitas' own export extras pin an old onnx on Python < 3.13, so its parts are listed here.
    "train": [
        "torch>=2.13,<2.14",
        "brevitas==0.13.4",
        "safetensors",
        "tqdm",
        "pyarrow>=19,<22",
        "pillow",
        "scikit-learn",
        "kornia",
        "tensorboard",
        "onnx>=1.22,<1.23",
        "onnxruntime",
        "onnxoptimizer",
        "onnxscript",
        "qonnx",
    ],
    "notebook": ["jupyterlab", "ipykernel", "nbclient", "nbconvert", "matplotlib"],
    "search": ["optuna>=5,<6", "matplotlib"],  # pynq-qsnn sweep, beside train
    "boards": ["distributed", "cryptography"],  # several boards at once: Dask, its links encrypted
    "video": ["opencv-python-headless<4.11"],  # newer ones need NumPy 2
    # What benchmarks/training.py compares with. SpikingJelly comes with pip install --no-deps spikingjelly: its own
    # list moves torch. It imports loguru; nirtorch is what both export their networks with.
    "compare": ["snntorch>=1,<2", "nirtorch", "loguru"],
    "interop": ["nir>=1.0.8,<2", "h5py", "onnx>=1.22,<1.23"],  # other frameworks' networks: NIR, QONNX
    "docs": ["sphinx", "furo", "myst-parser"],
    "dev": ["pytest", "hypothesis", "ruff", "clang-format", "pre-commit", "playwright", "build"],
}

setup(
    name="pynq-qsnn",
    version=VERSION,
    description="Quantized spiking networks on the Kria KV260: train, compile, simulate, run, measure",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="pynq_qsnn contributors",
    license="BSD-3-Clause",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=">=3.10,<3.13",
    packages=[*find_packages(include=["pynq_qsnn", "pynq_qsnn.*"]), *DATA_PACKAGES],
    package_dir=DATA_PACKAGES,
    package_data={
        "pynq_qsnn": [
            "runtime/native/*",
            "training/native/*",
            "architectures/*.json",
            "benchmark_networks/*.json",
            "zoo/*.json",
        ],
        "pynq_qsnn.overlays.kv260": ["Makefile", "*.json", "*.tcl", "*.md", "*.dts*", "*.bit", "*.hwh", "rtl/*"],
        "pynq_qsnn.hls": [
            *("Makefile", "*.md", "*.tcl", "*.cfg", "include/*", "src/*", "sim/*", "test/*"),
            *("rtl/Makefile", "rtl/*.*", "rtl/sim/*", "rtl/test/*"),
        ],
        "pynq_qsnn.models": ["*.qsnn"],
        "pynq_qsnn.notebooks": ["*.ipynb", "*.md"],
    },
    include_package_data=False,
    install_requires=["numpy<2"],  # pynq needs NumPy 1; nothing else may reach a board
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["pynq-qsnn = pynq_qsnn.cli:main"],
        # pynq's extension points: a driver binds to the kernel, Overlay("qsnn_kv260.bit") resolves, and
        # `pynq get-notebooks pynq-qsnn` copies the notebooks (it knows them by the name on the left).
        "pynq.lib": ["pynq_qsnn = pynq_qsnn.runtime.ip"],
        "pynq.overlays": ["pynq_qsnn = pynq_qsnn.overlays.kv260"],
        "pynq.notebooks": ["pynq-qsnn = pynq_qsnn.notebooks"],
    },
    zip_safe=False,
)
