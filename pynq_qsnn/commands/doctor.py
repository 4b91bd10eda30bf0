"""check this machine and say what to type where something is missing

Exit status 1 when something that the host flow needs is missing. Lines marked "optional" never fail.
"""

from .. import doctor
from .common import add_json_argument, write_json


def add_arguments(parser):
    add_json_argument(parser)


def run(args):
    checks = doctor.check_all()
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark = "ok" if check.good else "optional" if check.optional else "MISSING"
        print(f"{mark:8}  {check.name:{width}}  {check.found}")
        if not check.good:
            print(f"{'':8}  {'':{width}}  -> {check.remedy}")
    write_json(args.json, [vars(check) for check in checks])
    return 1 if any(not check.good and not check.optional for check in checks) else 0
