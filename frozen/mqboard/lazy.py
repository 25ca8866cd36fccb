"""Modules that are needed only now and then: forgotten, their code leaves the heap.

Frozen bytecode stays in flash; what a loaded module takes of the heap is its function objects, its
classes and its names. These are freed once nothing refers to them: neither the module system,
which `forget` sees to, nor an object of one of its classes, nor one of its functions.
"""

import sys


def forget(*names):
    """Forget these modules, by their full names; an import loads them anew."""
    for name in names:
        sys.modules.pop(name, None)
        package, _, leaf = name.rpartition(".")
        if package in sys.modules:
            sys.modules[package].__dict__.pop(leaf, None)
