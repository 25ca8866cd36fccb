"""Reads what a command wishes, a JSON object."""

import json

from mqboard.files.errors import Fault
from mqwire.files import MALFORMED


def read(body):
    """Return the object that `body` is; raise Fault."""
    try:
        wish = json.loads(body)
    except ValueError:  # UnicodeError is one, too
        raise Fault(MALFORMED, "", text="what is wished is no JSON")
    if not isinstance(wish, dict):
        raise Fault(MALFORMED, "", text="what is wished is no object")
    return wish


def text(wish, key):
    """Return the text under `key` of what is wished; raise Fault."""
    return _value(wish, key, str)


def texts(wish, key):
    """Return the list under `key` of what is wished; raise Fault."""
    return _value(wish, key, list)


def _value(wish, key, kind):
    value = wish.get(key)
    if not isinstance(value, kind):
        raise Fault(MALFORMED, "", text="%s is missing" % key)
    return value
