"""``python -m bayesnas`` is the command line."""

import sys

from bayesnas.cli.main import main

sys.exit(main())
