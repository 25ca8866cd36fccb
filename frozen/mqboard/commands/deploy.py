"""Takes an application: says what of it is missing or, when nothing is, switches to it.

The body is a JSON object: "id", "signature" (of the manifest, in base64; nothing where none is
wanted), "dry_run", "retry_failed". The reply is one, too, in one message or several; empty ones
before it only say that work goes on:

    {"id", "manifest": path}                        put the manifest there, then this command again
    {"id", "folder", "missing": [numbers of some files]} put these, then this command again
    {"id", "window_s", "boot_id"}   it is complete; the board leaves that boot to try it
    {"id", "running": true}         it has that one already
    {"refused": why, "code": mqwire.codes}

It runs in a task of its own: to compare files takes a while, and commands must not wait for it.
"""

import asyncio
import binascii
import json
import os

from esp32 import NVS
from micropython import const

from mqboard.apps import manifest as manifests
from mqboard.apps.record import Record
from mqboard.apps.stage import Stage, free_bytes, tidy
from mqboard.clock import ticks_diff, ticks_ms
from mqboard.health.bootrecord import NAMESPACE, Store
from mqboard.request import traceback
from mqboard.update.errors import Refusal
from mqboard.update.offer import check_signature
from mqwire import WireError, app, codes
from mqwire.config import MAX_TRIAL_S
from mqwire.flash import CONFIRMED_STATES

_ALIVE_MS = const(1000)  # so often it is told that work goes on
_ALL = const(100_000)
_PART = const(1400)  # bytes in a reply message: with its headers one TCP segment
_LATER = (codes.BUSY, codes.UNCONFIRMED)  # it may be taken then


async def answer(board, request):
    """Begin with it; the task answers."""
    if board.deploying:
        await request.reply(refusal(codes.BUSY, "it is busy with another one"))
        return
    board.supervisor.add("deploy", lambda: _run(board, request), vital=False)
    board.deploying = True


async def _run(board, request):
    try:
        await _Deployment(board, request).run()
    except Refusal as error:
        await request.reply(refusal(error.code, error.detail))
    except OSError as error:
        await request.reply(refusal(codes.FLASH_ERROR, "files or NVS: %s" % error))
    except MemoryError:
        await request.reply(refusal(codes.NO_MEMORY, "it has not enough memory"))
    except Exception as error:  # or else it would be started again
        await request.error(traceback(error))
    finally:
        board.deploying = False


def refusal(code, text):
    """Return the reply that refuses."""
    return json.dumps({"refused": text, "code": code}).encode()


class _Deployment:
    def __init__(self, board, request):
        self._board = board
        self._request = request
        self._told = ticks_ms()
        self._record = Record(Store(NVS(NAMESPACE)))

    async def run(self):
        ident, signature, options = self._read()
        dry = options.get("dry_run") is True
        if not dry:
            check_state(self._board)
        try:
            told = await self._answer(ident, signature, dry, options.get("retry_failed") is True)
        except Refusal as error:
            if error.code not in _LATER:
                self._forget(ident)
            raise
        if dry and "manifest" not in told:
            self._forget(ident)
        await self._reply(told)

    async def _answer(self, ident, signature, dry, retry_failed):
        """Return what the board says; when it switches it says so itself, and leaves."""
        runs = self._record.now and self._record.now["id"] == ident
        try:
            digest = manifests.digest(ident)
        except OSError:
            digest = b""
        if manifests.id_of(digest) != ident:  # or half of it, or somebody else's
            return {"id": ident, "manifest": manifests.path_of(ident)}
        mine = self._admit(ident, digest, signature)
        if not runs:
            self._want(mine, retry_failed)
        stage = Stage(mine, self._breathe)
        if dry:
            wanted = await stage.wanted(await stage.missing(_ALL), self._others(ident))
            return {"id": ident, "missing": wanted}
        missing = await stage.missing()
        if missing:
            missing = await self._fetch_own(stage, missing)
        if missing:
            return {"id": ident, "folder": stage.folder, "missing": missing}
        if runs and self._board.identity.app["state"] != app.MISSING:
            return {"id": ident, "running": True}
        return await self._switch(stage, digest)

    def _read(self):
        try:
            options = json.loads(self._request.body)
            ident = options["id"]
            if not isinstance(ident, str):
                raise ValueError("the id")
            app.check_hex(ident, app.ID_SIZE)
            signature = binascii.a2b_base64(options.get("signature") or "")
        except (
            WireError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RuntimeError,
        ) as error:
            raise Refusal(codes.MALFORMED, "the command: %s" % error)
        return ident, signature, options

    def _admit(self, ident, digest, signature):
        """Return the Manifest; raise Refusal. The signature comes first: of a manifest that is not
        genuine nothing is read but the name of its key.
        """
        keys = self._board.identity.keys
        if keys:
            with open(manifests.path_of(ident), "rb") as file:
                check_signature(file.read(64), digest, signature, keys)
        mine = manifests.Manifest(ident)
        mine.check()
        return mine

    def _want(self, mine, retry_failed):
        """Raise Refusal unless this application is wanted."""
        record = self._record
        oldest = 0 if self._board.config.allow_downgrade else record.seq
        if mine.seq < oldest:
            raise Refusal(codes.TOO_OLD, "its seq is %d; this board had %d" % (mine.seq, oldest))
        failed = record.failed or {}
        # A power cut is not the application's fault.
        blamed = failed.get("id") == mine.id and failed.get("code") != codes.POWER_LOST
        if blamed and not retry_failed:
            raise Refusal(codes.FAILED_BEFORE, str(failed.get("reason")))

    async def _fetch_own(self, stage, missing):
        """Copy what is on the board already; return the numbers of the files that are not."""
        await stage.clear()
        await self._make_room(stage)
        others = self._others(stage.manifest.id)
        while missing and await stage.copy(missing, others):
            before = stage.needed
            missing = await stage.missing()
            if stage.needed >= before:  # flash does not take it as it is
                break
        return missing

    async def _switch(self, stage, digest):
        """Have the next boot try what is complete; return what to say."""
        await stage.clear()
        # Meanwhile much may have happened.
        check_state(self._board)
        if manifests.digest(stage.manifest.id) != digest or await stage.missing():
            raise Refusal(codes.BUSY, "somebody changes its files")
        self._record = Record(Store(NVS(NAMESPACE)))
        self._record.switch(stage.manifest.entry())
        told = trial(self._board)
        told["id"] = stage.manifest.id
        return told

    def _others(self, ident):
        """Return the manifests of what is there and may have the same files."""
        found = []
        for other in self._record.ids():
            if other != ident:
                try:
                    found.append(manifests.Manifest(other))
                except (OSError, Refusal):  # it is gone
                    pass
        return found

    async def _make_room(self, stage):
        """Remove what nobody needs; if the files do not fit then, also the application before this
        one, which has its place. Raise Refusal when that is not enough.
        """
        record = self._record
        mine = [stage.manifest.id]
        await tidy(record.ids() + mine)
        if stage.needed > free_bytes() and record.before:
            record.before = None
            record.keep()  # before its files go
            await tidy(record.ids() + mine)
        free = free_bytes()
        if stage.needed > free:
            text = "it needs %d KiB of flash, and %d KiB are free"
            raise Refusal(codes.TOO_LARGE, text % (stage.needed >> 10, free >> 10))

    def _forget(self, ident):
        """Remove a manifest that nothing has come of."""
        if ident not in self._record.ids():
            try:
                os.remove(manifests.path_of(ident))
            except OSError:  # there is none
                pass

    async def _breathe(self):
        await asyncio.sleep(0)
        if ticks_diff(ticks_ms(), self._told) > _ALIVE_MS:
            self._told = ticks_ms()
            await self._request.reply(b"", last=False)

    async def _reply(self, told):
        data = json.dumps(told).encode()
        try:
            for start in range(0, len(data), _PART):
                part = data[start : start + _PART]
                await self._request.reply(part, last=start + _PART >= len(data))
        finally:  # it is to be tried, whether there was memory to say so or not
            if "window_s" in told:
                await leave(self._board)


def check_state(board):
    """Raise Refusal unless `board` can go back to what it runs with."""
    me = board.identity
    if not board.settled or me.slot_state not in CONFIRMED_STATES or me.trying():
        raise Refusal(codes.UNCONFIRMED, "what it runs is not confirmed yet")
    if board.receiver:
        raise Refusal(codes.BUSY, "an update is under way")


def trial(board):
    """Return what a host has to know to wait for what comes of a trial."""
    window_s = min(board.config.confirm_s, MAX_TRIAL_S)
    return {"window_s": window_s, "boot_id": board.identity.boot_id}


async def leave(board):
    """Restart to try another application, with all that it runs: out of safe mode, too."""
    board.blackbox.want("")
    await board.restart("another application")
