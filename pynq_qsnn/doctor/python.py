"""Python, NumPy, pynq, and the combinations of them that are known not to work."""

from __future__ import annotations

from .report import BOTH, HOST, MISSING, OK, OPTIONAL, WRONG, Case, Line, Outcome

PYTHON_RANGE = ((3, 10), (3, 12))
REMOTE = "PYNQ_REMOTE_DEVICES"
PYNQ_BOARD_NODE = "/proc/device-tree/chosen/pynq_board"
# What Kria-PYNQ installs, with the two packages that pynq 3.0.1 imports without declaring them.
KRIA_PYNQ = "pip install pynq==3.0.1 pynqmetadata==0.1.2 pynqutils==0.1.1 ipython 'pycparser<3'"


def release(version: str) -> tuple[int, ...]:
    """Numbers of a version: "3.0.1rc2" -> (3, 0, 1).

    >>> release("3.0.1rc2"), release("26.4.post1")
    ((3, 0, 1), (26, 4))
    """
    numbers = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def check_python(case: Case) -> Outcome:
    low, high = PYTHON_RANGE
    found = ".".join(map(str, case.system.python))
    if low <= case.system.python[:2] <= high:
        return Outcome(OK, found)
    wanted = f"{low[0]}.{low[1]} to {high[0]}.{high[1]}"
    return Outcome(WRONG, f"{found}, supported are {wanted}", "python3.10 -m venv qsnn && . qsnn/bin/activate")


def check_numpy(case: Case) -> Outcome:
    found = case.system.version("numpy")
    if found is None:
        return Outcome(MISSING, "not installed", "pip install 'numpy<2'")
    if release(found) >= (2,):
        return Outcome(WRONG, f"{found}; pynq does not run on NumPy 2", "pip install 'numpy<2'")
    return Outcome(OK, found)


def check_pynq(case: Case) -> Outcome:
    system = case.system
    found = system.version("pynq")
    if found is None:
        status = MISSING if case.board else OPTIONAL
        return Outcome(status, "not installed; the board needs it, real or emulated", "pip install 'pynq-qsnn[board]'")
    number = release(found)
    if number < (3, 0, 1) or number >= (5,):
        return Outcome(WRONG, f"{found}, supported are 3.0.1 to 4.x", "pip install 'pynq-qsnn[board]'")
    if number >= (4,) and system.exists("/proc/device-tree/compatible") and not system.exists(PYNQ_BOARD_NODE):
        # pynq 4 takes a board without that node for a PC, and then finds no device on it
        return Outcome(WRONG, f"{found} needs the device-tree node chosen/pynq_board, which is not there", KRIA_PYNQ)
    if number < (4,):
        parser, shell = system.version("pycparser"), system.version("ipython")
        if parser is None or release(parser) >= (3,):
            told = "is not installed" if parser is None else f"{parser} has no plyparser"
            return Outcome(WRONG, f"{found}, but pycparser {told}", "pip install 'pycparser<3'")
        if shell is None and number < (3, 1):
            return Outcome(WRONG, f"{found} imports IPython, which is not installed", "pip install ipython")
    return Outcome(OK, found)


def check_remote(case: Case) -> Outcome:
    """PYNQ.remote: a board elsewhere, real or emulated, that pynq uses in place of this machine's."""
    addresses, version = case.system.environ.get(REMOTE), case.system.version("pynq")
    if not addresses:
        return Outcome(OPTIONAL, f"{REMOTE} is not set")
    if version is None or release(version) < (3, 1):
        told = f"{REMOTE} is {addresses}, pynq {version or 'is not installed'}; it needs 3.1"
        return Outcome(WRONG, told, f"pip install 'pynq>=3.1,<5'   (or: unset {REMOTE})")
    return Outcome(OK, addresses)


LINES = (
    Line("Python", BOTH, check_python),
    Line("numpy", BOTH, check_numpy),
    Line("pynq", BOTH, check_pynq),
    Line("remote board", HOST, check_remote),
)
