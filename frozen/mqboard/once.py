"""Unloads modules that are needed for moments: an idle board has their memory for the user."""

import sys


def forget(name):
    """Let go of the module `name`, in a package; who still uses it keeps it as long."""
    package, _, leaf = name.rpartition(".")
    sys.modules.pop(name, None)
    if hasattr(sys.modules.get(package), leaf):
        delattr(sys.modules[package], leaf)
