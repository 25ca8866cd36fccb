"""Loads tasks.py anew for each look at it: a task hands out its help texts only once."""

import importlib.util

from mqhost.paths import ROOT


def fresh_tasks():
    """Return the module tasks.py, newly executed."""
    spec = importlib.util.spec_from_file_location("tasks", ROOT / "tasks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments_of(name):
    """Return the arguments of the task of that name, with their help texts."""
    return getattr(fresh_tasks(), name).get_arguments()
