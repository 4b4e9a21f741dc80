"""``python -m arraysig``: see `arraysig.cli`."""

import signal
import sys

from .cli import main

# What is stopped so, by a batch system say, deletes what it has half written.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
sys.exit(main())
