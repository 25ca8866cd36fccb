"""Brings images to boards for a rollout: those that begin together by one broadcast, if they can.

    boards that begin -> gathered for a moment -> by image and base -> one broadcast for each
                                   who is alone, or drops out -> a push of its own

A board that has installed the image is waited for until it has confirmed it. All else that can
become of a board is the business of an ordinary push, which says it best.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from mqhost.errors import SilentBoardError, ToolError
from mqhost.fleet.cast.broadcast import Broadcast
from mqhost.fleet.cast.listener import INSTALLED, Listener, can_listen
from mqhost.fleet.cast.offers import Offers
from mqhost.fleet.cast.stream import Stream
from mqhost.fleet.rollout.field import PushThreads, Report
from mqhost.fleet.rollout.outcome import CONFIRMED, Outcome, of_error
from mqhost.fleet.rollout.states import Board
from mqhost.link.connection import Connection
from mqhost.link.session import Session
from mqhost.link.settings import Settings
from mqhost.signing.offer import Offer
from mqhost.update.confirmation import time_to_confirm, wait_confirmed
from mqhost.update.push import UpdateResult
from mqhost.update.store import ImageStore
from mqhost.update.transfer import COMPARE, SEND
from mqwire.update import STREAM_ROOT

GATHER = 0.2  # seconds in which boards begin together: a driver's step begins all that it can
_FEWEST = 2  # boards in a broadcast


@dataclass(eq=False)
class _Job:
    """A board that is to get an image."""

    board: Board
    offer: Offer
    app: bytes
    done: Callable[[Outcome], None]
    stop: threading.Event
    ended: threading.Event  # nothing of it is under way here any more
    before: threading.Event | None  # that of the job before it for the same board
    base: str = ""
    session: Session | None = None


class _Stopped(BaseException):
    """Raised where nobody wants the outcome any more."""


class Cast:
    """A Pusher. `report` is told how far each board is, and `pushed` what each took that has
    confirmed: its part of a broadcast.

    `root` is what the topics of broadcasts begin with; `full` sends no differences. `finished` is
    called with each Broadcast that is over.
    """

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        report: Report = lambda prefix, stage, done, total: None,
        *,
        pushed: Callable[[str, UpdateResult], None] = lambda prefix, result: None,
        root: str = STREAM_ROOT,
        full: bool = False,
        gather: float = GATHER,
        pace: float | None = None,
        finished: Callable[[Broadcast], None] = lambda broadcast: None,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._report = report
        self._root = root
        self._full = full
        self._gather_s = gather
        self._pace = pace
        self._finished = finished
        self._pushed = pushed
        self._alone = PushThreads(settings, connection, report, pushed)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._gathering: list[_Job] = []
        self._kept: dict[str, bool] = {}  # by hash: whether it is in the local store
        self._ended: dict[str, threading.Event] = {}  # of the last job, by prefix
        self._offers = Offers(connection)

    def start(
        self, board: Board, offer: Offer, app: bytes, done: Callable[[Outcome], None]
    ) -> None:
        """Begin to push, together with what else begins now."""
        with self._lock:
            before = self._ended.get(board.prefix)
            ended = self._ended[board.prefix] = threading.Event()
            job = _Job(board, offer, app, done, self._stop, ended, before)
            self._gathering.append(job)
            if len(self._gathering) == 1:
                timer = threading.Timer(self._gather_s, self._begin)
                timer.daemon = True
                timer.start()

    def stop(self) -> None:
        """Have all that has begun end with what it reports next."""
        with self._lock:
            self._stop.set()
            self._stop = threading.Event()
        self._alone.stop()

    # In threads of their own

    def _begin(self) -> None:
        """Begin with those that have gathered."""
        with self._lock:
            jobs, self._gathering = self._gathering, []
        free = []
        for job in jobs:
            # Two sessions with one board would take each other's messages.
            if job.before and not job.before.is_set() or self._alone.busy(job.board.prefix):
                threading.Thread(target=self._push_later, args=(job,), daemon=True).start()
            elif job.stop.is_set():
                self._close(job)
            else:
                free.append(job)
        for group in self._groups(free):
            threading.Thread(target=self._run, args=(group,), daemon=True).start()

    def _groups(self, jobs: list[_Job]) -> list[list[_Job]]:
        """Return those that can share a broadcast, together; the others are pushed to alone."""
        for job in jobs:
            settings = self._settings.for_one(job.board.prefix)
            job.session = Session(settings, connection=self._connection).__enter__()
        groups: dict[tuple[str, str, bool], list[_Job]] = {}
        for job in jobs:
            assert job.session is not None
            status = job.session.status() or {}
            if can_listen(status, job.offer.sha256):
                job.base = self._base(str(status.get("image")))
                key = (job.offer.sha256, job.base, job.board.again)
                groups.setdefault(key, []).append(job)
            else:
                self._push(job)
        for group in groups.values():
            if len(group) < _FEWEST:
                self._push(group[0])
        return [group for group in groups.values() if len(group) >= _FEWEST]

    def _base(self, image: str) -> str:
        """Return `image`, a hash, if differences to it can be made, or ""."""
        if image not in self._kept:
            self._kept[image] = not self._full and ImageStore().get(image) is not None
        return image if self._kept[image] else ""

    def _run(self, group: list[_Job]) -> None:
        """Broadcast to `group`, all for the same image and base."""
        left = list(group)
        try:
            self._broadcast(left)
        except _Stopped:
            pass
        except Exception as error:  # then as if there were no broadcasts
            self._connection.debug("the broadcast ended: %r", error)
        for job in left:
            self._push(job)

    def _broadcast(self, left: list[_Job]) -> None:
        """Broadcast to those of `left`, and take out who needs no more than has been begun."""
        first = left[0]
        stored = ImageStore().get(first.base) if first.base else None
        stream = Stream(
            first.offer,
            first.app,
            stored.app if stored else None,
            retry_failed=first.board.again,
            root=self._root,
        )
        jobs: dict[Listener, _Job] = {}
        for job in left:
            assert job.session is not None
            jobs[Listener(job.session, stream)] = job
            self._report(job.board.prefix, COMPARE, 0, stream.offer.count)

        def ended(listener: Listener) -> None:
            left.remove(jobs[listener])
            part = broadcast.bytes_sent // len(jobs)
            self._go_on(jobs[listener], listener, part)

        def check() -> None:
            if first.stop.is_set():
                raise _Stopped

        def progress(done: int, total: int) -> None:
            for listener, job in jobs.items():
                if listener.under_way:
                    self._report(job.board.prefix, SEND, done, total)

        broadcast = Broadcast(
            self._connection,
            stream,
            list(jobs),
            pace=self._pace,
            offers=self._offers,
            ended=ended,
            check=check,
            progress=progress,
        )
        broadcast.run()
        self._finished(broadcast)

    def _go_on(self, job: _Job, listener: Listener, bytes_sent: int) -> None:
        """Go on with a board whose broadcast is over; its part of that is `bytes_sent`."""
        if listener.state != INSTALLED:
            self._connection.debug("%s: alone, %s", job.board.prefix, listener.why)
            self._push(job)
            return
        arguments = (job, listener, bytes_sent)
        threading.Thread(target=self._confirm, args=arguments, daemon=True).start()

    def _confirm(self, job: _Job, listener: Listener, bytes_sent: int) -> None:
        """Wait until a board that has installed the image has confirmed it."""
        assert job.session is not None
        count = job.offer.count

        def show(stage: str) -> None:
            if job.stop.is_set():
                raise _Stopped
            self._report(job.board.prefix, stage, count, count)

        try:
            status = wait_confirmed(
                job.session,
                job.offer.sha256,
                job.offer.version,
                listener.boot_id,
                time_to_confirm({}),
                show,
            )
        except _Stopped:
            self._close(job)
        except SilentBoardError:
            self._push(job)  # which asks the board how long it may take
        except ToolError as error:
            self._close(job)
            job.done(of_error(error))
        except Exception as error:
            self._close(job)
            job.done(Outcome(reason=f"a fault of mqboard itself: {error!r:.200}"))
        else:
            self._close(job)
            version, slot = str(status.get("version")), str(status.get("slot"))
            result = UpdateResult(listener.version, version, slot, bytes_sent=bytes_sent)
            self._pushed(job.board.prefix, result)
            job.done(CONFIRMED)

    def _push_later(self, job: _Job) -> None:
        """Push to a board alone, when what is under way with it has ended."""
        if job.before:
            job.before.wait()
        self._push(job)

    def _push(self, job: _Job) -> None:
        """Push to a board alone."""
        self._close(job)
        if not job.stop.is_set():
            self._alone.start(job.board, job.offer, job.app, job.done)

    def _close(self, job: _Job) -> None:
        """End what is under way here with a board."""
        session, job.session = job.session, None
        if session:
            session.__exit__()
        job.ended.set()
