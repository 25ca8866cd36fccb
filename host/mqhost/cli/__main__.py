"""Runs `mqboard` as `python -m mqhost.cli`."""

import sys

from mqhost.cli.main import main

sys.exit(main())
