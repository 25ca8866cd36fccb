"""Unloads modules that are needed for moments: an idle board has their memory for the user."""

import sys

# What a boot needs, and what comes soon after it.
_BOOT = (
    "mqboard.startup",
    "mqboard.config",
    "mqboard.health.bootrecord",
    "mqboard.health.confirm",
    "mqboard.health.configtrial",
    "mqboard.update.slots",
    "mqwire.codes",
    "mqwire.config",  # the rules of the configuration: 1.7 KB on 64 bits
    "mqwire.flash",
    "mqwire.names",
)


def forget(name):
    """Let go of the module `name`, in a package; who still uses it keeps it as long."""
    package, _, leaf = name.rpartition(".")
    sys.modules.pop(name, None)
    if hasattr(sys.modules.get(package), leaf):
        delattr(sys.modules[package], leaf)


def forget_boot():
    """Let go of all that only a boot needs."""
    for name in _BOOT:
        forget(name)
