"""``python -m bayesnas`` is the command line."""

import sys

from bayesnas.cli import main

sys.exit(main())
