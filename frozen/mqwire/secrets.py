"""Finds the secrets in a board's configuration, and puts placeholders in their place.

A placeholder names the secret of the board that it stands for, `<secret broker.password>`. In a
configuration that is sent to a board it means: as it is there. So what a board shows can be edited
and sent back by somebody who does not know its passwords.
"""

from mqwire.config import KEYS

# In tables whose keys nobody knows, as the settings of modules, a text is a secret by its name.
WORDS = ("pass", "secret", "token", "key", "auth", "credential")
_CONTAINERS = ("group", "object", "objects", "arguments")
_BEGIN = "<secret "


def find(root):
    """Return [(container, key, path)] of every secret text of the configuration `root`."""
    found = []
    _find(root, KEYS, "", False, found)
    return found


def placeholder(path):
    """Return what stands in place of the secret `path`, as "networks.0.password"."""
    return _BEGIN + path + ">"


def is_placeholder(text):
    """Return whether `text` stands for a secret."""
    return text.startswith(_BEGIN) and text.endswith(">")


def mask(root):
    """Put a placeholder in place of each secret of the configuration `root`."""
    for container, key, path in find(root):
        container[key] = placeholder(path)


def fill_in(text, root, dumps):
    """Return the JSON `text` with the secrets of the configuration `root` where it has placeholders
    for them; `dumps` makes JSON of a text.
    """
    for container, key, path in find(root):
        text = text.replace(dumps(placeholder(path)), dumps(container[key]))
    return text


def digest(sha256, nonce, path, secret):
    """Return 4 hex digits by which two ends see whether they have the same `secret`.

    No more: who sees them can guess with them. `sha256` is hashlib's; `nonce` is new each time.
    """
    hashed = sha256(("%s\0%s\0%s" % (nonce, path, secret)).encode()).digest()
    return "%02x%02x" % (hashed[0], hashed[1])


def _find(container, rows, path, hidden, found):
    """Look through an object or a list. `rows` are those of its keys, () if nobody knows them;
    `hidden`: each text in it is a secret.
    """
    is_list = isinstance(container, list)
    for key, value in enumerate(container) if is_list else container.items():
        inside, secret = rows, hidden
        if not is_list:
            kind, inside = _row(rows, key)
            secret = hidden or kind == "secret" or kind == "" and _sounds_secret(key)
        if isinstance(value, str):
            if value and (secret or "-----BEGIN" in value):
                found.append((container, key, path + str(key)))
        elif isinstance(value, (dict, list)):
            _find(value, inside, "%s%s." % (path, key), secret, found)


def _row(rows, key):
    """Return the kind of a key, "" if it is not known, and the rows of those inside of it."""
    for name, kind, _, limit in rows:
        if name == key:
            return kind, limit or () if kind in _CONTAINERS else ()
    return "", ()


def _sounds_secret(key):
    return any([name in key.lower() for name in WORDS])
