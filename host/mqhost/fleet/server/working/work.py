"""Makes the work of jobs: what the commands for one board do, told by a sentence and a record."""

import threading
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from typing import Any

from mqhost.deploy.application import Application
from mqhost.deploy.deployment import deploy
from mqhost.errors import UsageError
from mqhost.fleet.server.working.jobs import Done, Work
from mqhost.fleet.shared import lay_over
from mqhost.link.boardconfig import check
from mqhost.link.session import Session
from mqhost.manage.configchange import change, fetch_settled
from mqhost.manage.configuration import assign, check_known, differences
from mqhost.manage.crash import clear_crashes
from mqhost.manage.restart import NORMAL, SAFE, restart
from mqhost.progress import Progress
from mqhost.repl import running
from mqhost.signing.offer import Offer
from mqhost.update.push import push

Record = dict[str, Any]
MODES = {"": "restart", NORMAL: "restart in normal mode", SAFE: "restart in safe mode"}
_MOST_OUTPUT = 256 * 1024  # bytes of what code prints


def updating(offer: Offer, app: bytes, retry_failed: bool) -> Work:
    """Bring an image to the board; `retry_failed`: also one that it went back from."""

    def work(session: Session, progress: Progress) -> Done:
        result = push(session, offer, app, retry_failed=retry_failed, progress=progress)
        if result.already:
            return Done(f"It runs {offer.version} already.", asdict(result))
        text = f"It runs {offer.version}, confirmed, after {result.seconds:.1f} s."
        return Done(text, asdict(result), result.bytes_sent)

    return work


def deploying(application: Application, retry_failed: bool) -> Work:
    """Bring an application to the board; `retry_failed`: also one that it went back from."""

    def work(session: Session, progress: Progress) -> Done:
        done = deploy(session, application, retry_failed=retry_failed, progress=progress)
        if not done.changed:
            return Done(f"It runs {application.label} already.", asdict(done))
        text = f"It runs {application.label}, confirmed, after {done.seconds:.1f} s"
        text += f"; sent: {done.files} files, {done.sent:,} B."
        return Done(text, asdict(done))

    return work


def restarting(mode: str) -> Work:
    """Restart the board into `mode`, one of MODES."""

    def work(session: Session, progress: Progress) -> Done:
        progress("restart", 0, 0)
        back = restart(session, mode)
        mode_now, cause = back.status.get("mode"), back.status.get("reset_cause")
        text = f"It is back in {mode_now!s:.20} mode after {back.seconds:.1f} s (reset cause "
        return Done(f"{text}{cause!s:.20}).", back.status)

    return work


def clearing() -> Work:
    """Have the board forget its crashes."""

    def work(session: Session, progress: Progress) -> Done:
        progress("clear", 0, 0)
        count = clear_crashes(session)
        return Done(f"It has forgotten {count} crash{'es' * (count != 1)}.", {"cleared": count})

    return work


def check_wish(wish: Mapping[str, Any]) -> None:
    """Raise UsageError if there is a key in `wish` that no board knows."""
    if not wish:
        raise UsageError("Set what? Give keys and their values, as log.level: debug.")
    for key in wish:
        check_known(key)


def setting(wish: Mapping[str, Any]) -> Work:
    """Set keys of the configuration, as {"log.level": "debug"}."""

    def edited(now: Record) -> Record:
        for key, value in wish.items():
            assign(now, key, value)
        return now

    return _configuring(edited)


def laying(shared: Record) -> Work:
    """Lay `shared` over the configuration; what is a board's own stays."""
    return _configuring(lambda now: lay_over(now, shared))


def _configuring(edited: Any) -> Work:
    def work(session: Session, progress: Progress) -> Done:
        def report(stage: str) -> None:
            progress(stage, 0, 0)

        now = fetch_settled(session, report)
        record = edited(deepcopy(now.record))
        check(record)
        found = differences(now, record)
        if not found and now.file == "same":
            return Done("It has it so already.", {"changed": []})
        done = change(session, now, record, report)
        keys = [item.key for item in found]
        text = f"It runs the new configuration, after {done.seconds:.1f} s: {', '.join(keys)}."
        if done.unknown:
            text += f" Its firmware ignores {', '.join(done.unknown)}."
        told = {"changed": keys, "unknown": done.unknown, "prefix": done.prefix}
        return Done(text, told)

    return work


def evaluating(code: str, timeout: float) -> Work:
    """Run code, for at most `timeout` seconds."""

    def work(session: Session, progress: Progress) -> Done:
        run = running.start(session, code, timeout=timeout)
        output = bytearray()
        watch = _Watch(run, progress)
        try:
            for part in run:
                output += part[: _MOST_OUTPUT - len(output)]
                watch.look()
        finally:
            watch.close()
        text = output.decode("utf-8", "replace")
        result = run.result or running.Result()
        told = {"output": text} | asdict(result)
        if result.error:  # its last line; what was printed may be a secret, and stays out of it
            return Done(f"It ended with {result.error.strip().splitlines()[-1]:.300}", told)
        return Done(f"It printed {len(output):,} B.", told)

    return work


class _Watch:
    """Looks from time to time whether code is still wanted, also while it prints nothing."""

    def __init__(self, run: running.Run, progress: Progress) -> None:
        self._run = run
        self._progress = progress
        self._unwanted: BaseException | None = None
        self._over = threading.Event()
        self.look()
        threading.Thread(target=self._watch, daemon=True).start()

    def look(self) -> None:
        """Raise what the progress raises, in the thread of the job."""
        if self._unwanted:
            raise self._unwanted
        self._progress("run", 0, 0)

    def close(self) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(0.3):
            try:
                self._progress("run", 0, 0)
            except BaseException as error:
                self._unwanted = error
                self._run.interrupt()
                return
