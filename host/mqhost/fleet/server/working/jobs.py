"""Does what changes a board, each job in a thread: it is begun, followed, cancelled and audited.

Of one board there is one job at a time. What a job came to stays known for a while here, and for
ever in the audit.
"""

import itertools
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from mqhost.errors import RefusedError, ToolError, UsageError
from mqhost.fleet.server.changes import JOB, Changes
from mqhost.fleet.server.door.users import OPERATE, User
from mqhost.fleet.store.records import Entry, StoreError
from mqhost.fleet.store.underway import Begun, UnderWay
from mqhost.link.connection import Connection
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.progress import Progress

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
INTERRUPTED = "interrupted"
ENDED = (DONE, FAILED, CANCELLED, INTERRUPTED)
AT_ONCE = 16
_MOST = 256  # that wait or run
_KEPT = 500  # jobs that are remembered
_LOOK = 0.2  # seconds until a job that waits looks whether it is still wanted
_LONGEST = 2000  # characters of a result
_CODE = ("eval ", "repl ")
_NEXT = (
    "What the board was in the middle of, it ends by itself: look at it, then do the same again. "
    "What is there already takes no time."
)
_STOPPED = f"The server was told to end. {_NEXT}"
_LEFT = f"The server that did it ended in the middle, or lost the database. {_NEXT}"
_SHOWN = (
    *("id", "what", "prefix", "who", "state", "stage", "done", "total"),
    *("asked_at", "began_at", "ended_at", "text"),
)


@dataclass(frozen=True)
class Done:
    """What a job came to: a sentence, and what is told to scripts."""

    text: str
    told: Any = None
    bytes_sent: int = 0


Work = Callable[[Session, Progress], Done]


class _Cancelled(BaseException):
    """Raised in a job that is not wanted any more."""


@dataclass
class Job:
    """What is done to the board at `prefix` for `who`. `stage`, `done` and `total` say how far it
    is; `text` and `told` what came of it. Times are Unix times.
    """

    id: str
    what: str
    prefix: str
    who: str
    asked_at: float
    state: str = QUEUED
    stage: str = ""
    done: int = 0
    total: int = 0
    began_at: float | None = None
    ended_at: float | None = None
    text: str = ""
    told: Any = None
    ended: bool = False  # what it came to is clear, and about to be told
    unwanted: threading.Event = field(default_factory=threading.Event, repr=False)
    over: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def begun(self) -> Begun:
        """What is kept of it while it is under way."""
        return Begun(self.id, self.prefix, self.who, self.what, self.asked_at)

    def record(self, user: User) -> dict[str, Any]:
        """Return it for scripts, as `user` may see it: what code printed may be a secret."""
        shown = {name: getattr(self, name) for name in _SHOWN} | {
            "result": self.told,
            "cancelling": self.unwanted.is_set() and self.state not in ENDED,
        }
        if is_code(self.what) and not user.may(OPERATE):
            shown |= {"what": code_word(self.what), "text": "", "result": None}
        return shown


def is_code(what: str) -> bool:
    """Return whether it is code that somebody ran: who may only look sees neither that nor more."""
    return what.startswith(_CODE)


def code_word(what: str) -> str:
    """Return what is told of it to those who may only look."""
    return what.partition(" ")[0]


def seen(entry: Entry, user: User) -> Entry:
    """Return an entry of the audit as `user` may see it: code that was run may have secrets in it,
    and so may what came of it.
    """
    if is_code(entry.what) and not user.may(OPERATE):
        return replace(entry, what=code_word(entry.what), result=entry.result.partition(":")[0])
    return entry


class Jobs:
    """The jobs of this server, over `connection` with the settings of `settings`."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        under_way: UnderWay,
        changes: Changes,
        at_once: int = AT_ONCE,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._under_way = under_way
        self._changes = changes
        self._lock = threading.Lock()
        self._room = threading.Semaphore(at_once)
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._numbers = itertools.count(1)
        self._closed = False
        self.bytes_sent = 0
        self.ended: dict[tuple[str, str], int] = {}  # how many, by what and state

    def begin(self, what: str, prefix: str, user: User, work: Work) -> Job:
        """Begin a job: `work` is called with a session with the board, and what is told how far it
        is. Raises RefusedError if the board has one already, or there are too many.
        """
        with self._lock:
            running = [job for job in self._jobs.values() if job.state not in ENDED]
            if self._closed:
                raise RefusedError("The server is about to end.")
            for job in running:
                if job.prefix == prefix:
                    raise RefusedError(
                        f"{prefix} is busy: {job.what}, begun by {job.who}. Wait until that has "
                        "ended, or cancel it."
                    )
            if len(running) >= _MOST:
                raise RefusedError(f"{len(running)} jobs are waiting already. Try again later.")
            ident = f"{next(self._numbers)}-{secrets.token_hex(8)}"
            job = Job(ident, what, prefix, user.name, time.time())
            self._jobs[ident] = job
            self._forget()
        try:
            self._under_way.begin(job.begun)  # what cannot be audited is not done
        except StoreError:
            del self._jobs[ident]
            raise
        self._changes.tell(JOB, job.id)
        threading.Thread(target=self._run, args=(job, work), daemon=True).start()
        return job

    def all(self, prefix: str | None = None) -> list[Job]:
        """Return the jobs, or those of a board, the last one first."""
        with self._lock:
            jobs = list(self._jobs.values())
        return [job for job in reversed(jobs) if prefix is None or job.prefix == prefix]

    def get(self, ident: str) -> Job | None:
        """Return a job; None if there is none, or it is forgotten."""
        return self._jobs.get(ident)

    def cancel(self, ident: str) -> Job:
        """Have a job end soon; what the board is in the middle of, it ends by itself. UsageError if
        there is no such job.
        """
        job = self._jobs.get(ident)
        if job is None:
            raise UsageError(f"There is no job {ident!r:.40}.")
        job.unwanted.set()
        self._changes.tell(JOB, job.id)
        return job

    def take_left(self, here: bool = False) -> None:
        """Tell of the jobs that servers were in the middle of which are no more; `here`: also of
        one that was at this server's place. Raises StoreError.
        """
        for begun in self._under_way.take_left(f"{INTERRUPTED}: {_LEFT}", here):
            job = Job(begun.id, begun.what, begun.board, begun.who, begun.asked_at)
            job.text, job.ended = _LEFT, True
            with self._lock:
                self._jobs[job.id] = job
                self._forget()
            self._tell_end(job, INTERRUPTED)

    def stop(self) -> list[Job]:
        """Begin with no other job, and have those that go on end soon; return these."""
        with self._lock:
            self._closed = True
            running = [job for job in self._jobs.values() if job.state not in ENDED]
        for job in running:
            job.unwanted.set()
        return running

    def close(self, wait: float = 2.0) -> None:
        """Have all end, and wait a moment for that."""
        running = self.stop()
        deadline = time.monotonic() + wait
        for job in running:
            if not job.over.wait(max(0.0, deadline - time.monotonic())):
                job.text = _STOPPED
                self._end(job, INTERRUPTED)

    def _run(self, job: Job, work: Work) -> None:
        """Do a job, in its thread."""
        begun = False
        try:
            while not begun:
                if job.unwanted.is_set():
                    raise _Cancelled
                begun = self._room.acquire(timeout=_LOOK)
            job.state, job.began_at = RUNNING, time.time()
            self._changes.tell(JOB, job.id)
            settings = self._settings.for_one(job.prefix)
            with Session(settings, connection=self._connection) as session:
                done = work(session, self._progress(job))
            job.text, job.told = done.text, done.told
            with self._lock:
                self.bytes_sent += done.bytes_sent
            self._end(job, DONE)
        except _Cancelled:
            if self._closed:
                job.text = _STOPPED
                self._end(job, INTERRUPTED)
            else:
                job.text = "Cancelled. What the board was in the middle of, it ends by itself."
                self._end(job, CANCELLED)
        except ToolError as error:
            job.text, job.told = str(error), {"error": str(error), "exit_code": error.exit_code}
            self._end(job, FAILED)
        except Exception as error:
            job.text = f"A fault of mqboard itself: {error!r:.300}"
            self._end(job, FAILED)
            raise
        finally:
            if begun:
                self._room.release()

    def _progress(self, job: Job) -> Progress:
        def progress(stage: str, done: int, total: int) -> None:
            if job.unwanted.is_set():
                raise _Cancelled
            job.stage, job.done, job.total = stage, done, total
            self._changes.tell(JOB, job.id)

        return progress

    def _end(self, job: Job, state: str) -> None:
        with self._lock:
            if job.ended:
                return
            job.ended = True
        job.text = job.text[:_LONGEST]
        with suppress(StoreError):  # that it was begun stands there
            self._under_way.end(job.begun, time.time(), f"{state}: {job.text}")
        self._tell_end(job, state)

    def _tell_end(self, job: Job, state: str) -> None:
        with self._lock:
            job.state, job.ended_at = state, time.time()
            counted = (job.what.partition(" ")[0], state)
            self.ended[counted] = self.ended.get(counted, 0) + 1
        job.over.set()
        self._changes.tell(JOB, job.id)

    def _forget(self) -> None:
        """Forget the oldest that have ended, where there are too many."""
        for ident in [one for one, job in self._jobs.items() if job.state in ENDED]:
            if len(self._jobs) <= _KEPT:
                return
            del self._jobs[ident]
