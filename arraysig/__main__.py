"""``python -m arraysig``: see `arraysig.cli`."""

import sys

from .cli import main

sys.exit(main())
