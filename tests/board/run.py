"""Runs test modules under MicroPython; the last line it prints counts them."""

import gc
import unittest


def main(names):
    """Import and run the modules of these names."""
    passed = failed = 0
    for name in names:
        try:
            good, bad = unittest.run(__import__(name))
        except Exception as error:
            print("FAILED to import %s: %r" % (name, error))
            good, bad = 0, 1
        passed += good
        failed += bad
        gc.collect()
    print("%d passed, %d failed." % (passed, failed))
