"""Makes `python -m mqhost.cli` the same as `mqboard`."""

import sys

from mqhost.cli.main import main

sys.exit(main())
