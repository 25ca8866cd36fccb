"""Boots the image in the other slot again, tried and confirmed like an update.

Only one that was confirmed here before (mqboard.health.confirm notes it); one that is older than
what was confirmed since only with force, where update.allow_rollback says that an owner may.
"""

import json

from esp32 import NVS, Partition

from mqboard.health.bootrecord import NAMESPACE, Store
from mqboard.health.confirm import read_good
from mqboard.update import install, slots
from mqwire import flash


async def answer(board, request):
    """Restart into the other slot; or say why not: {"refused": …}."""
    try:
        options = json.loads(str(request.body, "utf-8") or "{}")
        force = options.get("force") is True
    except (ValueError, AttributeError, RuntimeError):
        await request.error(b"the options are no JSON object")
        return
    store = Store(NVS(NAMESPACE))
    try:
        spare = _spare()
        image, seq, version = _find(board, spare, store)
        _admit(board, seq, force)
        _boot(board, spare, image, version)
    except _Refused as error:
        await request.reply(json.dumps({"refused": str(error)}).encode())
        return
    found = {"image": image, "version": version, "seq": seq}
    try:
        await request.reply(json.dumps(found).encode())
    finally:  # it boots next, whether there was memory to say so or not
        await board.restart("rollback command")


class _Refused(Exception):
    """Raised when there is nothing to go back to, or it is not allowed. The text says why."""


def _spare():
    try:
        return Partition(Partition.RUNNING).get_next_update()
    except OSError:
        raise _Refused("there is no other slot")


def _find(board, spare, store):
    """Return (SHA-256, seq, version) of the confirmed image in the slot `spare`."""
    if board.receiver:
        raise _Refused("an update is under way, into the other slot")
    if board.identity.slot_state not in flash.CONFIRMED_STATES:
        raise _Refused("the running image is not confirmed yet, and goes back by itself if it must")
    if board.identity.trying():
        raise _Refused("what it tries is not confirmed yet, and goes back by itself if it must")
    image = slots.image_hash(spare, store)
    if not image:
        raise _Refused("there is no image in the other slot")
    state = slots.read_state(Partition, spare)
    if state not in flash.CONFIRMED_STATES:
        raise _Refused("the image in the other slot did not prove good: it is " + state)
    good = read_good(slots.label(spare), store)
    if not good or good[0] != image:
        raise _Refused("the image in the other slot was never confirmed here")
    return good


def _boot(board, spare, image, version):
    try:
        install.install(board, spare, image, version)
    except OSError as error:  # it is checked whole
        raise _Refused("the image in the other slot is damaged: %s" % error)


def _admit(board, seq, force):
    oldest = board.identity.oldest
    if seq >= oldest:
        return
    below = "its seq %d is below %d, the highest that was confirmed here" % (seq, oldest)
    if not board.config.allow_rollback:
        raise _Refused(below + ", and the configuration does not say update.allow_rollback")
    if not force:
        raise _Refused(below + "; it takes --force")
