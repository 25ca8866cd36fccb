"""Takes an application: says which of its files are missing or, when none is, switches to it.

The body is laid out as an update's (mqwire.update.pack_request): the manifest, its signature, and
options, {"dry_run", "retry_failed"}. The reply is one JSON object, in the last message; those
before it are empty, and only say that work goes on:

    {"id", "folder", "missing": [numbers of files]}   send these, then this command again
    {"id", "window_s"}                  it is complete, and the board restarts to try it
    {"id", "running": true}             it has that one already
    {"refused": why, "code": mqwire.codes}

It runs in a task of its own: to compare files takes a while, and commands must not wait for it.
"""

import asyncio
import json

from esp32 import NVS
from micropython import const

from mqboard.apps import manifest as manifests
from mqboard.apps.record import Record
from mqboard.apps.stage import Stage, free_blocks, tidy
from mqboard.clock import ticks_diff, ticks_ms
from mqboard.config import replace
from mqboard.health.bootrecord import NAMESPACE, Store
from mqboard.update.errors import Refusal
from mqboard.update.offer import check_signature
from mqwire import WireError, app, codes
from mqwire.config import MAX_TRIAL_S
from mqwire.flash import CONFIRMED_STATES
from mqwire.update import unpack_request

_ALIVE_MS = const(1000)  # so often it is told that work goes on


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
        request.body = b""
        await request.reply(refusal(codes.NO_MEMORY, "it has not enough memory"))
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

    async def run(self):
        board = self._board
        data, options = self._read()
        mine = manifests.Manifest(data)
        record = Record(Store(NVS(NAMESPACE)))
        runs = record.now and record.now["id"] == mine.id
        if not runs:
            self._admit(mine, record, options.get("retry_failed") is True)
        check_state(board)
        stage = Stage(mine, self._breathe)
        missing = await stage.missing()
        told = {"id": mine.id}
        if options.get("dry_run") is True:
            told["missing"] = stage.wanted(missing, self._others(record, mine))
        else:
            if missing:
                missing = await self._fetch_own(record, stage, missing, data)
            if missing:
                told["folder"], told["missing"] = stage.folder, missing
            elif runs and board.identity.app["state"] != app.MISSING:
                told["running"] = True
            else:
                await self._switch(stage, data)
                told["window_s"] = min(board.config.confirm_s, MAX_TRIAL_S)
        try:
            await self._request.reply(json.dumps(told).encode())
        finally:  # it is to be tried, whether there was memory to say so or not
            if "window_s" in told:
                await leave(board)

    def _read(self):
        """Return (the manifest's bytes, options). The signature comes first: nothing of a manifest
        that is not genuine is read, but the name of its key.
        """
        try:
            data, signature, options = unpack_request(self._request.body)
            if self._board.identity.keys:
                check_signature(data, signature, self._board.identity.keys)
            options = json.loads(str(options, "utf-8"))
            if not isinstance(options, dict):
                raise ValueError("the options are no object")
        except (WireError, ValueError, RuntimeError) as error:
            raise Refusal(codes.MALFORMED, str(error))
        return data, options

    def _admit(self, mine, record, retry_failed):
        """Raise Refusal unless this application is wanted."""
        oldest = 0 if self._board.config.allow_downgrade else record.seq
        if mine.seq < oldest:
            raise Refusal(codes.TOO_OLD, "its seq is %d; this board had %d" % (mine.seq, oldest))
        failed = record.failed or {}
        # A power cut is not the application's fault.
        blamed = failed.get("id") == mine.id and failed.get("code") != codes.POWER_LOST
        if blamed and not retry_failed:
            raise Refusal(codes.FAILED_BEFORE, str(failed.get("reason")))

    async def _fetch_own(self, record, stage, missing, data):
        """Copy what is on the board already; return the numbers of the files that are not."""
        others = self._others(record, stage.manifest)
        await self._make_room(record, stage, missing)
        _keep_manifest(stage, data)
        stage.make_folders()
        copied = await stage.copy(missing, others)
        return await stage.missing() if copied else missing

    async def _switch(self, stage, data):
        """Have the next boot try what is complete."""
        await stage.clear()
        _keep_manifest(stage, data)  # its file may be of the time before a power cut
        check_state(self._board)  # meanwhile much may have happened
        Record(Store(NVS(NAMESPACE))).switch(stage.manifest.entry())

    def _others(self, record, mine):
        """Return the manifests of what is there and may have the same files."""
        found = []
        for ident in record.ids():
            if ident != mine.id:
                try:
                    found.append(manifests.read(ident))
                except (OSError, Refusal):  # it is gone
                    pass
        return found

    async def _make_room(self, record, stage, missing):
        """Remove what nobody needs; if the files do not fit then, also the application before this
        one, which has its place. Raise Refusal when that is not enough.
        """
        mine = [stage.manifest.id]
        await tidy(record.ids() + mine)
        needed = stage.blocks(missing)
        if needed > free_blocks() and record.before:
            record.before = None
            record.keep()  # before its files go
            await tidy(record.ids() + mine)
        free = free_blocks()
        if needed > free:
            text = "it needs %d KiB of flash, and %d KiB are free"
            raise Refusal(codes.TOO_LARGE, text % (4 * needed, 4 * max(0, free)))

    async def _breathe(self):
        await asyncio.sleep(0)
        if ticks_diff(ticks_ms(), self._told) > _ALIVE_MS:
            self._told = ticks_ms()
            await self._request.reply(b"", last=False)


def check_state(board):
    """Raise Refusal unless `board` can go back to what it runs with."""
    me = board.identity
    if not board.settled or me.slot_state not in CONFIRMED_STATES or me.trying():
        raise Refusal(codes.UNCONFIRMED, "what it runs is not confirmed yet")
    if board.receiver:
        raise Refusal(codes.BUSY, "an update is under way")


def _keep_manifest(stage, data):
    replace("%s/%s.json" % (app.FOLDER, stage.manifest.id), str(data, "utf-8"))


async def leave(board):
    """Restart to try another application, with all that it runs: out of safe mode, too."""
    board.blackbox.want("")
    await board.restart("another application")
