"""Runs the test modules named on the command line under MicroPython; the last line counts."""

import gc
import sys
import unittest

passed = failed = 0
for name in sys.argv[1:]:
    good, bad = unittest.run(__import__(name))
    passed += good
    failed += bad
    gc.collect()
print("%d passed, %d failed" % (passed, failed))
sys.exit(1 if failed else 0)
