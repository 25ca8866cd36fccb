"""Answers `config`: shows the configuration without its secrets, and takes a new one on trial.

    config/<id>[/get[/<nonce>]]   JSON, see `_get`
    config/<id>/previous[/<nonce>]  of that the "config" and "digests", of the one before this one
    config/<id>/push[/<boot id>]  the body is the new one, with placeholders for secrets that stay
    config/<id>/revert[/<boot id>]

The last two answer {"id", "window_s"}, with keys that are not known in "unknown", and in "unkept"
certificates of which there will be no copies (mqboard.copies); and restart the board (see
mqboard.health.configtrial), or say in {"refused"} why not. The boot id is of the boot that was
asked for what is to be changed.
"""

import hashlib
import json
import os

from esp32 import NVS
from micropython import const

from mqboard.config import PATH, decode
from mqboard.copies import unkept
from mqboard.health import configtrial
from mqboard.health.bootrecord import NAMESPACE, Store, parse
from mqwire import rules, secrets
from mqwire.config import MAX_KEPT, MAX_TRIAL_S
from mqwire.flash import CONFIRMED_STATES

_PART = const(1400)  # bytes in a reply message: with its headers one TCP segment


class Refused(Exception):
    """Raised when a configuration cannot be tried; the text says why."""


class _Values:
    """Takes the values of a configuration that is only looked at."""


async def answer(board, request):
    """Answer the command `config`."""
    wish, _, more = request.tail.partition("/")
    store = Store(NVS(NAMESPACE))
    if wish in ("", "get"):
        await _get(board, request, store, more)
    elif wish == "previous":
        await _get_previous(request, more)
    elif wish in ("push", "revert"):
        await _change(board, request, store, wish == "revert", more)
    else:
        await request.error(b"config: what is '%s'?" % wish.encode())


async def _get(board, request, store, nonce):
    text = _running(board, store)
    root = json.loads(text)
    told = {
        "boot_id": board.identity.boot_id,
        "settled": board.settled,  # before that it changes nothing
        "size": len(text.encode()),
        "state": board.identity.config,  # on trial, or the one that failed last
        "last": _last(store),  # the id of the one that was confirmed last
        "file": _file(text),
        "revert": _exists(configtrial.PREVIOUS),
    }
    await _show(request, told, root, nonce)


async def _get_previous(request, nonce):
    try:
        root = json.loads(_previous())
    except Refused as error:
        await request.reply(json.dumps({"refused": str(error)}).encode())
        return
    await _show(request, {}, root, nonce)


async def _show(request, told, root, nonce):
    """Reply `told` and the configuration `root`, without its secrets."""
    if nonce:
        told["digests"] = {
            path: secrets.digest(hashlib.sha256, nonce, path, container[key])
            for container, key, path in secrets.find(root)
        }
    secrets.mask(root)
    told["config"] = root
    answer = json.dumps(told).encode()
    for start in range(0, len(answer), _PART):
        part = answer[start : start + _PART]
        await request.reply(part, last=start + _PART >= len(answer))


def _running(board, store):
    """Return the configuration that the board runs with, as text."""
    if board.config.text:  # not settled yet
        return board.config.text
    kept = store.get("config", MAX_KEPT)
    if kept and board.config.kept:
        return kept
    with open(PATH) as file:
        return file.read()


def _last(store):
    return parse(store.get(configtrial.LAST), str)


def _file(text):
    """Return what the file is: "same" as the text, "other", or "missing"."""
    try:
        with open(PATH) as file:
            return "same" if file.read() == text else "other"
    except (OSError, ValueError):
        return "missing"


async def _change(board, request, store, revert, boot_id):
    """Have the configuration in `request`, or the one before this, tried by the next boot."""
    me = board.identity
    tried = (me.config or {}).get("id"), _last(store)
    told = {"id": request.ident}
    try:
        # Sent again, as when the answer was lost in the restart: it was done.
        if request.ident not in tried:
            _check_state(board, boot_id)
            text = _previous() if revert else _text_of(request)
            text, values, unknown = checked(text, _running(board, store))
            if unknown:
                told["unknown"] = unknown
            large = unkept(values)
            if large:
                told["unkept"] = large
            told["window_s"] = min(values.confirm_s, MAX_TRIAL_S)
            configtrial.begin(store, PATH, text, request.ident)
    except Refused as error:
        told = {"refused": str(error)}
    except UnicodeError:
        told = {"refused": "it is not UTF-8"}
    except RuntimeError:
        told = {"refused": "it is nested too deeply"}
    except OSError as error:
        told = {"refused": "it cannot be stored: %s" % error}
    try:
        await request.reply(json.dumps(told).encode())
    finally:  # it is there, whether there was memory to say so or not
        if "window_s" in told:
            await board.restart("a new configuration")


def _text_of(request):
    """Return the body as text, which it is from now on: for want of memory it may be tried twice,
    and has no room for both."""
    if not isinstance(request.body, str):
        request.body = str(request.body, "utf-8")
    return request.body


def _check_state(board, boot_id):
    """Raise Refused unless the board can go back to what it runs with."""
    me = board.identity
    if boot_id and boot_id != me.boot_id:
        raise Refused("the board has restarted since it was asked; ask it again")
    if not board.settled:
        raise Refused("what it runs with is not confirmed yet; wait until it is")
    if me.slot_state not in CONFIRMED_STATES:
        raise Refused("its firmware is not confirmed yet")
    if board.receiver:
        raise Refused("an update is under way")
    if not board.config.kept:
        raise Refused("NVS has no copy of what it runs with: it could not go back (see its log)")


def _previous():
    try:
        with open(configtrial.PREVIOUS) as file:
            return file.read()
    except (OSError, ValueError):
        raise Refused("there is no configuration before this one")


def checked(text, running):
    """Return the configuration `text` with its secrets, its values, and which keys are not known;
    raise Refused.
    """
    text = secrets.fill_in(text, json.loads(running), json.dumps)
    size = len(text.encode())
    if size > MAX_KEPT:
        raise Refused("it has %d bytes, and %d are the most to be tried" % (size, MAX_KEPT))
    try:
        root = decode(text)
        if json.loads(json.dumps(root)) != root:  # we take more for JSON than others do
            raise ValueError("not JSON: it has keys that are no texts")
    except ValueError as error:  # also of a number too large: it is written as inf
        raise Refused("it is %s" % error)
    values = _Values()
    wrong = rules.read(root, values)
    bad = ["%s %s" % (key, what) for severity, key, what in wrong if severity != rules.UNKNOWN]
    for container, key, path in secrets.find(root) if not bad else ():
        if secrets.is_placeholder(container[key]):
            bad.append("%s is %s, which the board has not" % (path, container[key]))
    if not bad:
        bad = _missing_files(values)
        try:
            if values.version != "3.1.1":
                __import__("mqboard.mqtt5")
        except ImportError:
            bad.append("broker.version: no MQTT 5 in this firmware")
    if bad:
        raise Refused("; ".join(bad))
    return text, values, [key for severity, key, _ in wrong if severity == rules.UNKNOWN]


def _missing_files(values):
    """Return what is wrong with the paths of certificates: with TLS, files have to be there."""
    bad = []
    for name in ("ca", "cert", "key") if values.tls else ():
        path = getattr(values, name)
        if path and "-----BEGIN" not in path and not _exists(path):
            bad.append("broker.%s is %s, and there is no such file" % (name, path))
    return bad


def _exists(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False
