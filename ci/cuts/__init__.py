"""Breaks boards on purpose, for tests and figures: the power is cut, what they receive is wrong."""
