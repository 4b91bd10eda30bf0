"""`python -m pynq_qsnn` is the `pynq-qsnn` command."""

import sys

from .cli import main

sys.exit(main())
