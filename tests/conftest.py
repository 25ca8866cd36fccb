"""Puts the on-board packages on the path of every test, and lets Ctrl-C reach what tests start."""

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "frozen"))

# A run in the background may have been told to ignore Ctrl-C, and all its children would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
