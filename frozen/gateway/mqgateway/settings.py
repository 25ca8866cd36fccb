"""Reads the settings of the module `mqgateway`; what is wrong with them is a ValueError."""

from mqpipe import keys_of

_QUEUE = 8
_KEEP = 16
_MEMORY = 16384
# ESP-IDF's: of peers with a key of the radio, and of all; everybody's address is one, too.
_ENCRYPTED = 6
_NODES = 19
_NODE_KEYS = ("mac", "key", "encrypt", "publish", "subscribe", "queue")
_KEYS = ("nodes", "keep", "memory")


class Facts:
    """What is configured of one node. Its own topics are below `prefix`, which ends with a /."""

    def __init__(self, board, name, settings):
        where = "nodes." + name
        _check(settings, _NODE_KEYS, where)
        if not name or any([each in name for each in "/+#"]):
            raise ValueError("%s: a name has no / + #" % where)
        self.name = name
        self.mac = _mac(settings.get("mac"), where)
        try:
            self.tag_key, radio_key = keys_of(settings.get("key"))
        except (TypeError, ValueError):
            raise ValueError(where + ".key: 32 hexadecimal digits")
        self.radio_key = radio_key if settings.get("encrypt", True) else None
        self.queue = _number(settings, "queue", _QUEUE, 1000, where)
        self.prefix = "%s/nodes/%s/" % (board, name)
        self._never = board + "/mqb/"
        own = self.prefix + "#"
        self._publish = [own] + _filters(settings, "publish", where)
        self._subscribe = [own] + _filters(settings, "subscribe", where)

    def may_publish(self, topic):
        """Return whether the node may publish to a topic: never to those that manage the board."""
        return not topic.startswith(self._never) and _covered(self._publish, topic)

    def may_subscribe(self, topic_filter):
        """Return whether it may have all that a filter matches."""
        return _covered(self._subscribe, topic_filter)


def read(settings, board):
    """Return ([Facts], {"keep": …, "memory": …}); `board` is the prefix of the board."""
    settings = settings or {}
    _check(settings, _KEYS, "mqgateway")
    named = settings.get("nodes")
    if not isinstance(named, dict) or not named:
        raise ValueError("nodes: name the nodes, as {NAME: {mac: ...}}")
    nodes = [Facts(board, name, named[name]) for name in sorted(named)]
    if len(set([node.mac for node in nodes])) < len(nodes):
        raise ValueError("nodes: two have the same mac")
    if len(nodes) > _NODES:
        raise ValueError("nodes: %d of them; a radio has room for %d" % (len(nodes), _NODES))
    encrypted = len([node for node in nodes if node.radio_key])
    if encrypted > _ENCRYPTED:
        text = "nodes: %d have a key; a radio encrypts for %d, the others need encrypt: false"
        raise ValueError(text % (encrypted, _ENCRYPTED))
    return nodes, {
        "keep": _number(settings, "keep", _KEEP, 1000, "mqgateway"),
        "memory": _number(settings, "memory", _MEMORY, 1 << 24, "mqgateway"),
    }


def _check(settings, keys, where):
    if not isinstance(settings, dict):
        raise ValueError("%s: not an object" % where)
    for key in settings:
        if key not in keys:
            raise ValueError("%s has %s; it knows %s" % (where, key, ", ".join(keys)))


def _mac(text, where):
    parts = text.split(":") if isinstance(text, str) else ()
    try:
        mac = bytes([int(part, 16) for part in parts])
    except ValueError:
        mac = b""
    if len(mac) != 6 or mac[0] & 1:
        raise ValueError("%s.mac: as 24:0a:c4:00:00:01" % where)
    return mac


def _number(settings, key, default, most, where):
    value = settings.get(key, default)
    if not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError("%s.%s: a whole number from 1 to %d" % (where, key, most))
    return value


def _filters(settings, key, where):
    filters = settings.get(key, [])
    if not isinstance(filters, list) or not all([isinstance(each, str) for each in filters]):
        raise ValueError("%s.%s: a list of filters" % (where, key))
    return filters


def _covered(patterns, wanted):
    return any([covers(pattern, wanted) for pattern in patterns])


def covers(pattern, wanted):
    """Return whether all that `wanted`, a topic or a filter, matches is matched by `pattern`."""
    parts, others = pattern.split("/"), wanted.split("/")
    if others[0][:1] == "$" and parts[0][:1] in "#+":
        return False  # the broker's own topics are for who names them
    for index, part in enumerate(parts):
        if part == "#":
            return True
        if index >= len(others) or others[index] == "#":
            return False
        if part not in ("+", others[index]):
            return False
    return len(parts) == len(others)
