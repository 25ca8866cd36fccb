"""Reads the board's configuration from /config.json, which is data, and checks it key by key.

    {"prefix": "esp32/test",
     "networks": [{"ssid": "...", "password": "..."}],
     "ethernet": null,
     "broker": {"host": "...", "port": 8883, "user": null, "password": null, "keepalive": 60,
                "tls": true, "ca": "/certs/ca.pem", "cert": null, "key": null, "verify": true,
                "server_name": null},
     "ntp": "pool.ntp.org",
     "update": {"health_s": 10, "confirm_s": 300, "allow_downgrade": false},
     "watchdog": {"timeout_s": 60, "network_s": 600, "unreachable_s": 3600},
     "log": {"level": "info"},
     "modules": {"name": {settings}}}

Only prefix, networks (or ethernet), broker.host and broker.ca are required, the latter unless
broker.tls or broker.verify is false. The last configuration that reached the broker
is kept in NVS as well, so that a damaged file or filesystem does not cut the board off.
A confirm_s that is less than twice health_s would confirm no update; twice is taken instead: a
board that ran with such a configuration must still run with it.
"""

import json
import os

from micropython import const

from mqwire import WireError, names
from mqwire import config as limits

_ENOENT = const(2)
_EEXIST = const(17)


class ConfigError(Exception):
    """Raised when the configuration cannot be used; the text names the key."""


_NUMBER = (int, float)


class Config:
    """A parsed configuration, its keys as attributes; `text` is the JSON it came from, until it is
    kept as a good one; `complaint` is "" or says what was not taken as it stands there."""


def parse(text):
    """Return the Config that `text` says; raise ConfigError."""
    try:
        root = json.loads(text)
    except ValueError:
        raise ConfigError("not JSON")
    _check(root, "configuration", dict)
    config = Config()
    config.text = text
    config.missing = ""  # the path of its file, when that is gone and this is the copy
    config.prefix = _get(root, "prefix", str)
    try:
        names.check_prefix(config.prefix)
    except WireError as error:
        raise ConfigError("prefix: %s" % error)
    config.ethernet = _get(root, "ethernet", dict, None)  # see mqboard.net.ethernet
    config.networks = [
        (_get(network, "ssid", str), _get(network, "password", str, ""))
        for network in _get(root, "networks", list, [])
    ]
    complaints = _doubts(config.networks)
    if not config.networks and config.ethernet is None:
        raise ConfigError("networks: at least one is needed")
    broker = _get(root, "broker", dict)
    config.host = _get(broker, "host", str)
    config.tls = _get(broker, "tls", bool, True)
    usual = limits.TLS_PORT if config.tls else limits.PLAIN_PORT
    config.port = _within(_get(broker, "port", int, usual), "port", limits.PORT)
    config.user = _credential(broker, "user")
    config.password = _credential(broker, "password")
    keepalive = _get(broker, "keepalive", _NUMBER, 60)
    config.keepalive = _within(keepalive, "keepalive", limits.KEEPALIVE_S)
    config.ca = _get(broker, "ca", str, None)  # these three: a path, or PEM
    config.cert = _get(broker, "cert", str, None)
    config.key = _get(broker, "key", str, None)
    config.verify = _get(broker, "verify", bool, True)
    config.server_name = _get(broker, "server_name", str, None)
    if config.tls and config.verify and not config.ca:
        raise ConfigError("broker.ca: missing, and neither tls nor verify is false")
    if bool(config.cert) != bool(config.key):
        raise ConfigError("broker: cert and key need each other")
    config.ntp = _get(root, "ntp", str, "pool.ntp.org")
    update = _get(root, "update", dict, {})
    config.health_s = _positive(update, "health_s", limits.HEALTH_S)
    confirm_s = _positive(update, "confirm_s", limits.CONFIRM_S)
    config.confirm_s = max(confirm_s, limits.LEAST_CONFIRM * config.health_s)
    if config.confirm_s > confirm_s:
        complaints.append(
            "update.confirm_s: less than twice update.health_s; using %s" % config.confirm_s
        )
    config.complaint = "; ".join(complaints)
    config.allow_downgrade = _get(update, "allow_downgrade", bool, False)
    watchdog = _get(root, "watchdog", dict, {})
    timeout_s = _get(watchdog, "timeout_s", _NUMBER, 60)
    config.watchdog_s = _within(timeout_s, "timeout_s", limits.WATCHDOG_S)
    config.network_s = _positive(watchdog, "network_s", 600)
    config.unreachable_s = _positive(watchdog, "unreachable_s", 3600)
    config.log_level = _get(_get(root, "log", dict, {}), "level", str, "info")
    config.modules = _get(root, "modules", dict, {})
    return config


def load(path, store):
    """Return (Config, complaint). The last good configuration of `store` stands in for a bad file.

    `complaint` is "" or says what is wrong with the file, or was set right. Raises
    ConfigError when neither serves.
    """
    missing = ""
    try:
        with open(path) as file:
            config = parse(file.read())
            return config, config.complaint and "%s: %s" % (path, config.complaint)
    except (OSError, ValueError, MemoryError) as error:  # no UTF-8, or no end of it
        if isinstance(error, OSError) and error.errno == _ENOENT:
            missing = path
        complaint = "%s: %s" % (path, "is missing" if missing else "cannot be read")
    except ConfigError as error:
        complaint = "%s: %s" % (path, error)
    text = store.get("config", limits.MAX_KEPT)
    if text is None:
        raise ConfigError(complaint)
    config = parse(text)
    config.missing = missing
    return config, complaint + "; using the last good configuration"


def write_back(path, text, log):
    """Write the file `path` anew from its copy in NVS: it is gone, as when the filesystem is new.

    The file appears whole or not at all.
    """
    try:
        for end in range(1, len(path)):
            if path[end] == "/":
                _make_folder(path[:end])
        with open(path + ".new", "w") as file:
            file.write(text)
        os.rename(path + ".new", path)
        log.warning("%s was missing: written back from its copy in NVS", path)
    except (OSError, MemoryError) as error:
        log.error("%s is missing and cannot be written back: %s", path, error)


def _make_folder(path):
    try:
        os.mkdir(path)
    except OSError as error:
        if error.errno != _EEXIST:
            raise


def _check(value, name, kind):
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError("%s: wrong type" % name)
    return value


def _get(table, key, kind, *default):
    _check(table, key, dict)
    if key not in table or (table[key] is None and default):
        if default:
            return default[0]
        raise ConfigError("%s: missing" % key)
    return _check(table[key], key, kind)


def _credential(broker, key):
    text = _get(broker, key, str, None)
    try:
        limits.check_credential(text or "")
    except WireError as error:
        raise ConfigError("%s: %s" % (key, error))
    return text


def _doubts(networks):
    """Return what is wrong with Wi-Fi networks. They are tried all the same: the radio knows."""
    doubts = []
    for ssid, password in networks:
        try:
            limits.check_network(ssid, password)
        except WireError as error:
            doubts.append("networks: %s" % error)
    return doubts


def _within(value, key, limit):
    low, high = limit
    if not low <= value <= high:
        raise ConfigError("%s: must be from %d to %d" % (key, low, high))
    return value


def _positive(table, key, default):
    value = _get(table, key, _NUMBER, default)
    if value <= 0:
        raise ConfigError("%s: must be positive" % key)
    return value
