"""Checks a board's configuration by the table of its keys, mqwire.config: for the board that reads
it, and for the host that writes it.

It is apart from the table because an idle board needs neither, and constants of it now and then.
"""

from mqwire import WireError
from mqwire.config import (
    AUTH_KEY,
    KEYS,
    LEAST_CONFIRM,
    LOG_LEVELS,
    MAX_CREDENTIAL,
    MAX_IDENTITY,
    MAX_SSID,
    PASSPHRASE,
    PLAIN_PORT,
    PSK,
    TLS_PORT,
    WAYS,
)
from mqwire.names import check_prefix

# What is wrong with a configuration: it cannot be used; it can, yet hardly as it was meant, and a
# new one is refused for it; it has a key that means nothing to this version.
FAULT = 0
DOUBT = 1
UNKNOWN = 2
# Boards run with what these find.
_DOUBTFUL = ("host", "ssid", "passphrase", "level", "timezone", "ways")

_KEY_DIGITS = 64  # the key itself
_DIGITS = "0123456789"
_HEX = "0123456789abcdef"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SHOWN = 40  # characters of a wrong value


def read(root, into):
    """Set each value of the configuration `root` as an attribute of `into`, the default where it is
    missing; return what is wrong: [(FAULT or DOUBT or UNKNOWN, key, the rest of a sentence)].

    A key is written with dots, as networks.0.ssid. With a FAULT the values are of no use.
    """
    wrong = []
    _read(root, KEYS, "", into, wrong)
    if not any([severity == FAULT for severity, _, _ in wrong]):
        _relate(into, wrong)
    return wrong


def check_credential(text):
    """Raise WireError if `text` is too long to be a user name or a password at a broker."""
    if _size(text) > MAX_CREDENTIAL:
        raise WireError("it has %d bytes; %d is the most" % (_size(text), MAX_CREDENTIAL))


def zone_seconds(text):
    """Return how far a time zone, written as +01:00, is ahead of UTC; raise WireError."""
    digits = [digit in "0123456789" for digit in text[1:3] + text[4:]]
    if len(text) == 6 and text[0] in "+-" and text[3] == ":" and all(digits):
        ahead = int(text[1:3]) * 3600 + int(text[4:]) * 60
        if text[4] < "6" and ahead <= 14 * 3600:
            return -ahead if text[0] == "-" else ahead
    raise WireError("it must be like +01:00 or -03:30, up to 14 hours")


def _read(table, rows, path, into, wrong):
    """Read the object `table` by its `rows` into an object or a dict; None: nobody wants the values
    from here, and what is wrong with them is a doubt at most.
    """
    if not isinstance(table, dict):
        wrong.append((FAULT, path[:-1] or "it", "must be an object, {...}"))
        return
    for key in table:
        if not any([row[0] == key for row in rows]):
            # MicroPython's JSON takes keys that are no texts.
            wrong.append((UNKNOWN, "%s%s" % (path, key), "is not known"))
    for key, kind, default, limit in rows:
        value = table.get(key)
        fault = ""
        if value is not None:
            fault = _misfit(value, kind) or _beyond(value, limit)
            if fault and kind == "secret":
                fault = "cannot be so: " + fault
            elif fault:
                fault = "is %s; %s" % (_shown(value), fault)
        elif default is ...:
            fault = "is missing"
        elif kind in ("group", "objects"):
            value = {} if kind == "group" else []
        else:
            value = default
        usable = not fault or limit in _DOUBTFUL and not _misfit(value, kind)
        if fault:
            wrong.append((DOUBT if usable or into is None else FAULT, path + key, fault))
        if usable:
            _read_inner(value, kind, limit, path + key + ".", into, wrong)
            if isinstance(into, dict):
                into[key] = value
            elif into is not None and kind != "group":
                setattr(into, key, value)


def _read_inner(value, kind, rows, path, into, wrong):
    """Read what is inside of `value`, if that is something with keys by `rows`."""
    if kind == "group":
        _read(value, rows, path, into, wrong)
    elif kind == "objects":
        for index, item in enumerate(value):
            _read(item, rows, "%s%d." % (path, index), item, wrong)
    elif kind in ("object", "arguments") and rows and value is not None:
        _read(value, rows, path, None if kind == "arguments" else value, wrong)


def _relate(into, wrong):
    """Look at what belongs together, and set the defaults that depend on others."""
    if into.port is None:
        into.port = TLS_PORT if into.tls else PLAIN_PORT
    _relate_broker(into.__dict__, "broker.", wrong)
    if into.fallback:
        _inherit(into.fallback, into)
        _relate_broker(into.fallback, "broker.fallback.", wrong)
    least = LEAST_CONFIRM * into.health_s
    if into.confirm_s < least:
        why = "is %s; it must be at least twice update.health_s, which is %s"
        wrong.append((DOUBT, "update.confirm_s", why % (into.confirm_s, into.health_s)))
        into.confirm_s = least
    _relate_networks(into, wrong)
    if into.auth and into.repl and into.repl["json"]:
        wrong.append((DOUBT, "repl.json", "is true; it takes no tags, and stays off with auth.key"))
        into.repl["json"] = False
    if into.power and into.version != "3.1.1":
        wrong.append((DOUBT, "broker.version", "is not 3.1.1, which boards with power speak"))
        into.version = "3.1.1"
    into.modules = _by_name(into.modules, "modules.", wrong)
    if into.bridge:
        into.modules["mqbridge"] = into.bridge
    into.levels = _by_name(into.levels, "log.levels.", wrong)
    try:
        into.zone_s = zone_seconds(into.timezone)
    except WireError:
        into.zone_s = 0
    if into.level not in LOG_LEVELS:
        into.level = "info"
    for name, level in list(into.levels.items()):
        fault = _misfit(level, "text") or _beyond(level, "level")
        if fault:
            wrong.append((DOUBT, "log.levels." + name, "is %s; %s" % (_shown(level), fault)))
            into.levels.pop(name)


def _relate_networks(into, wrong):
    """Have `order` name the networks to use, the best first: only such as there are, each once."""
    keys = dict(WAYS)
    there = [way for way, key in WAYS if getattr(into, key) not in (None, [])]
    if not there:
        wrong.append((FAULT, "networks", "has none in it: the board needs at least one"))
        return
    order = []
    for way in into.order or ():
        if way in order:
            wrong.append((DOUBT, "network.order", "names %s more than once" % way))
        elif way in there:
            order.append(way)
        elif way in keys:
            what = "names %s, and %s has nothing in it" % (way, keys[way])
            wrong.append((DOUBT, "network.order", what))
    into.order = order = order or there[:1]
    # A trial must not be over before each had its turn, and as much again to reach the broker.
    most = into.confirm_s / 2 / max(len(order) - 1, 1)
    if len(order) > 1 and into.wait_s > most:
        why = "is %s; with so many networks, at most %d is possible (half of update.confirm_s)"
        wrong.append((DOUBT, "network.wait_s", why % (into.wait_s, most)))
        into.wait_s = most


def _by_name(table, path, wrong):
    """Return an object whose keys are names that somebody chose, without those that are none."""
    table = table or {}
    for key in [key for key in table if not isinstance(key, str)]:
        wrong.append((DOUBT, "%s%s" % (path, key), "is no name"))
        del table[key]
    return table


def _relate_broker(broker, path, wrong):
    """Look at what belongs together in the keys of one broker, a dict."""
    if broker["psk"] and not broker["tls"]:
        wrong.append((FAULT, path + "psk", "is there, and tls is false: it is for TLS"))
    if broker["tls"] and broker["verify"] and not (broker["ca"] or broker["psk"]):
        wrong.append((FAULT, path + "ca", "is missing, and neither tls nor verify is false"))
    for one, other in (("cert", "key"), ("key", "cert")):
        if broker[one] and not broker[other]:
            wrong.append((FAULT, path + other, "is missing, which %s%s needs" % (path, one)))


def _inherit(fallback, first):
    """Give the fall-back broker what it does not say itself; what belongs together stays so.

    The name in its certificate is its own.
    """
    if fallback["port"] is None and fallback["tls"] not in (None, first.tls):
        fallback["port"] = TLS_PORT if fallback["tls"] else PLAIN_PORT
    if not any([fallback[key] is not None for key in ("psk", "tls", "verify", "ca", "cert")]):
        fallback["psk"] = first.psk  # in place of all these
    for keys in (("tls",), ("port",), ("verify",), ("ca",), ("user", "password"), ("cert", "key")):
        if not any([fallback[key] is not None for key in keys]):
            for key in keys:
                fallback[key] = getattr(first, key)


def _misfit(value, kind):
    """Return a sentence on what `value` must be, if it is not of this kind; otherwise ""."""
    if kind == "bool":
        fits, what = isinstance(value, bool), "true or false"
    elif kind in ("text", "secret", "file"):
        fits, what = isinstance(value, str), "a text"
    elif kind == "objects":
        fits, what = isinstance(value, list), "a list, [...]"
    elif kind == "texts":
        fits = isinstance(value, list) and all([isinstance(each, str) for each in value])
        what = 'a list of texts, ["..."]'
    elif kind == "whole":
        fits, what = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    elif kind == "number":
        fits, what = isinstance(value, (int, float)) and not isinstance(value, bool), "a number"
    else:
        fits, what = isinstance(value, dict), "an object, {...}"
    return "" if fits else "it must be " + what


def _shown(value):
    """Return `value` as a sentence has it; without what is inside of it, which may be secret."""
    if isinstance(value, str):
        return "PEM text" if "-----BEGIN" in value else repr(value[:_SHOWN])
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return "a list" if isinstance(value, list) else "an object"


def _beyond(value, limit):
    """Return a sentence on what is wrong with `value`, if it is not within its limit."""
    try:
        _check(value, limit)
    except WireError as error:
        return str(error)
    return ""


def _check(value, limit):
    if limit == "prefix":
        check_prefix(value)
    elif limit == "credential":
        check_credential(value)
    elif limit == "passphrase":
        _check_passphrase(value)
    elif limit == "authkey":
        if not AUTH_KEY[0] <= _size(value) <= AUTH_KEY[1]:
            raise WireError("it has %d bytes; %d to %d are possible" % ((_size(value),) + AUTH_KEY))
    elif limit == "identity":
        _check_identity(value)
    elif limit == "psk":
        least, most = PSK[0] * 2, PSK[1] * 2
        if len(value) % 2 or not least <= len(value) <= most or not _has_only(value.lower(), _HEX):
            raise WireError("it must be %d to %d hexadecimal digits, two a byte" % (least, most))
    elif limit == "ssid":
        if not 0 < _size(value) <= MAX_SSID:
            raise WireError("it has %d bytes; 1 to %d are possible" % (_size(value), MAX_SSID))
    elif limit == "at":  # it stands in a command to a modem
        if not value or not all([" " < char < "\x7f" and char != '"' for char in value]):
            raise WireError("it must be letters, digits and signs, without blanks and quotes")
    elif limit == "wpa":
        if not PASSPHRASE[0] <= _size(value) <= PASSPHRASE[1]:
            raise WireError("it must have %d to %d bytes" % PASSPHRASE)
    elif limit == "pin":
        if not 4 <= len(value) <= 8 or not _has_only(value, _DIGITS):
            raise WireError("it must be 4 to 8 digits")
    elif limit == "ways":
        _check_ways(value)
    elif limit == "address":
        _check_address(value)
    elif limit == "country":
        if len(value) != 2 or not _has_only(value, _LETTERS.upper()):
            raise WireError("it must be two capital letters, as DE")
    elif limit == "hostname":
        # 32 are MicroPython's limit.
        if not 0 < len(value) <= 32 or not _has_only(value.lower(), _LETTERS + _DIGITS + "-"):
            raise WireError("it must be 1 to 32 letters, digits and -")
    elif limit == "host":
        if not value:
            raise WireError("it must be the broker's name or address")
    elif limit == "level":
        _check(value, LOG_LEVELS)
    elif limit == "timezone":
        zone_seconds(value)
    elif limit == "positive":
        if value <= 0:
            raise WireError("it must be more than 0")
    elif limit and isinstance(limit[0], str):
        if value not in limit:
            raise WireError("it must be one of " + ", ".join(limit))
    elif limit and not isinstance(limit[0], tuple) and not limit[0] <= value <= limit[1]:
        raise WireError("it must be from %d to %d" % limit)


def _check_passphrase(text):
    size = _size(text)
    least, most = PASSPHRASE
    if text and not least <= size <= most and not _is_key(text):
        raise WireError(
            "it has %d bytes; Wi-Fi takes %d to %d, or none for an open network"
            % (size, least, most)
        )


def _check_ways(names):
    known = [way for way, _ in WAYS]
    if not all([name in known for name in names]):
        raise WireError("it may name %s" % ", ".join(known))


def _check_identity(text):
    """Raise WireError if brokers could not list `text`: a line of their files is IDENTITY:KEY."""
    if not 0 < _size(text) <= MAX_IDENTITY:
        raise WireError("it has %d bytes; 1 to %d are possible" % (_size(text), MAX_IDENTITY))
    if ":" in text or any([ord(letter) < 32 or ord(letter) == 127 for letter in text]):
        raise WireError("it must be of one line, without a colon")


def _check_address(text):
    parts = text.split(".")
    for part in parts:
        if not 0 < len(part) < 4 or not _has_only(part, _DIGITS) or int(part) > 255:
            parts = ()
    if len(parts) != 4:
        raise WireError("it must be an IPv4 address, as 192.168.1.20")


def _has_only(text, characters):
    return all([character in characters for character in text])


def _size(text):
    return len(text.encode("utf-8", "surrogatepass"))


def _is_key(password):
    return len(password) == _KEY_DIGITS and _has_only(password.lower(), _HEX)
