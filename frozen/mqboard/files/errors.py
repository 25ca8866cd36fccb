"""Defines why a file command fails, and says so in JSON."""

import json

from mqwire.files import code_of


class Fault(Exception):
    """Raised with a code of mqwire.files, the path it is about, and what else belongs to it."""

    def __init__(self, code, path="", **facts):
        super().__init__(code)
        self.facts = {"error": code, "path": path}
        self.facts.update(facts)

    @property
    def code(self):
        """The code of mqwire.files."""
        return self.facts["error"]


def fault_of(error, path):
    """Return the Fault that an OSError with `path` is."""
    return Fault(code_of(error.args[0] if error.args else 5), path)


def line(record):
    """Return `record` as a line of JSON, in bytes."""
    return json.dumps(record).encode() + b"\n"
