"""check this machine and say what to type where something is missing

On a PC the lines of the host flow are checked, on a KV260 those of the board. Every line has a status:
  ok        as it must be                  optional  not there, and not needed
  warning   works, could be better         skipped   not looked at, the line says why
  MISSING   not there                      WRONG     there, but not as it must be
Exit status: 0 nothing is missing or wrong, 1 something is, 2 the options make no sense.

examples:
  pynq-qsnn doctor                              this machine
  pynq-qsnn doctor --emulate                    a whole healthy report, on the emulated board
  pynq-qsnn doctor --load                       on a KV260, as root: load the overlay too, and run one frame
  pynq-qsnn doctor --model digits.qprog         does its contiguous memory hold this model?
"""

from .. import doctor
from ..doctor.report import BOARD, BOTH, FAILING, HOST
from .common import add_json_argument, count, open_program, provenance, write_json

SCHEMA = "pynq-qsnn doctor 1"
TITLES = {BOTH: "every flow", HOST: "host flow", BOARD: "board flow"}


def add_arguments(parser):
    parser.add_argument("--group", choices=doctor.GROUPS, help="which lines (default: host, on a KV260 board)")
    parser.add_argument("--emulate", action="store_true", help="check the emulated board, loading its overlay")
    parser.add_argument("--load", action="store_true", help="load the overlay: this replaces what is in the PL")
    parser.add_argument("--bitfile", help="bitstream to look at (default: the installed overlay)")
    parser.add_argument("--model", help="model or program that the contiguous memory must hold")
    parser.add_argument("--batch", type=count, default=16, help="its frames in one call (default: %(default)s)")
    add_json_argument(parser)


def run(args):
    program = open_program(args.model) if args.model else None
    report = doctor.examine(
        group=args.group,
        emulate=args.emulate,
        load=args.load,
        bitfile=args.bitfile,
        program=program,
        batch_size=args.batch,
    )
    width = max(len(check.name) for check in report.checks)
    print(f"machine: {report.machine}")
    for group in report.groups:
        print(f"\n{TITLES[group]}")
        for check in report.checks:
            if check.group == group:
                mark = check.status.upper() if check.failing else check.status
                print(f"  {mark:8}  {check.name:{width}}  {check.found}")
                if check.remedy:
                    print(f"  {'':8}  {'':{width}}  -> {check.remedy}")
    if args.group is None and BOARD not in report.groups:
        print("\nno KV260 here; an emulated one: pynq-qsnn doctor --emulate")
    status = 1 if report.failing else 0
    if report.failing:
        names = ", ".join(check.name for check in report.failing)
        print(f"\n{len(report.failing)} of {len(report.checks)} lines are {' or '.join(FAILING)}: {names}")
    write_json(
        args.json,
        {
            "schema": SCHEMA,
            "machine": report.machine,
            "emulated": report.emulated,
            "groups": report.groups,
            "exit_status": status,
            "checks": [vars(check) for check in report.checks],
            "provenance": provenance(),
        },
    )
    return status
