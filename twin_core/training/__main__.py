"""`python -m twin_core.training JOB.json`: see `process.py`."""

import sys

from twin_core.training.process import main

raise SystemExit(main(sys.argv[1:]))
