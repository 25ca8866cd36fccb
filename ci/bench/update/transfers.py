"""Measures updates of other kinds: against a base, resumed, on slow flash; and the board's heap.

Each takes a new board, whose inactive slot is empty.
"""

import contextlib
import threading

from ci.bench import Figure, median
from ci.bench.idle import wait_settled
from ci.bench.rig import NEXT_VERSION, Rig
from mqhost.errors import ToolError
from mqhost.link.session import Session
from mqhost.signing.offer import load_image
from mqhost.update.push import push
from mqhost.update.transfer import SEND

_VERIFY = """
from mqboard.update.signature import genuine, named_key, key_id
from time import ticks_us, ticks_diff
import mqbuild
offer = %r
key = [key for key in mqbuild.KEYS if key_id(key) == named_key(offer)][0]
start = ticks_us()
assert genuine(offer, %r, key)
print(ticks_diff(ticks_us(), start))
"""
_HEAP = b"(__import__('gc').collect(), __import__('gc').mem_alloc())[1]"


class _Stopped(Exception):
    """Raised when the transfer went as far as it was to go."""


def measure(rig: Rig, full_bytes: float) -> dict[str, Figure]:
    """Measure the figures; `full_bytes` is what an update with deflate alone sends.

    delta_ratio: what is sent for one more line in a module, over the image's size: offer, signature
    and block messages, all MQTT payloads.
    resume_ratio: what the second run sends over what one would, after a first one that ended when
    the board had half of the blocks.
    flash_time_ratio: the whole transfer, from the first question to INSTALLED, on flash as slow as
    an ESP32's, over the time that the flash is busy with erasing and programming the slot.
    peak_heap_bytes: the most heap in use during such a transfer, over that of the idle board; both
    right after a collection, at several places a second.
    verify_ms: checking an offer's signature on the simulated board.
    """
    runs = 1 if rig.quick else 3
    deltas, resumes, waits, peaks = [], [], [], []
    for done in range(runs):
        rig.progress("measuring transfers", done, runs)
        deltas.append(_delta_ratio(rig))
        resumes.append(_resumed_bytes(rig) / full_bytes)
        waits.append(_flash_time_ratio(rig))
        peaks.append(_peak_heap(rig))
    return {
        "delta_ratio": Figure(median(deltas, 4), "of image", runs, aim=0.03),
        "resume_ratio": Figure(median(resumes), "of full", runs, aim=0.55),
        "flash_time_ratio": Figure(median(waits), "of flash", runs, 1, aim=1.15),
        "peak_heap_bytes": Figure(max(peaks), "B", runs, aim=20_000),
        "verify_ms": Figure(_verify_ms(rig), "ms", 5),
    }


def _delta_ratio(rig: Rig) -> float:
    offer, app = load_image(rig.changed.app)
    base = rig.firmware().app.read_bytes()
    with rig.board() as board:
        result = push(board.session, offer, app, base=base)
    assert result.base and result.offers == 1, result
    return result.bytes_sent / len(app)


def _resumed_bytes(rig: Rig) -> int:
    offer, app = load_image(rig.firmware(NEXT_VERSION).app)

    def stop(stage: str, done: int, total: int) -> None:
        if stage == SEND and done >= total / 2:
            raise _Stopped

    with rig.board() as board:
        try:
            push(board.session, offer, app, full=True, progress=stop)
            raise AssertionError("it was not stopped")
        except _Stopped:
            pass
        with Session(rig.settings) as session:
            return push(session, offer, app, full=True).bytes_sent


def _flash_time_ratio(rig: Rig) -> float:
    offer, app = load_image(rig.firmware(NEXT_VERSION).app)
    with rig.board(slow=True) as board:
        result = push(board.session, offer, app, full=True)
    return result.transfer_seconds / board.saw["flash_seconds"]


def _peak_heap(rig: Rig) -> float:
    offer, app = load_image(rig.firmware(NEXT_VERSION).app)
    with rig.board(slow=True) as board, Session(rig.settings) as observer:
        wait_settled(observer)
        idle = min(_heap(observer) for _ in range(10))
        with _Watch(observer) as watch:
            push(board.session, offer, app, full=True)
    return max(watch.heaps) - idle


class _Watch:
    """Asks a board for its heap, again and again, while it is entered."""

    def __init__(self, session: Session) -> None:
        self.heaps: list[int] = []
        self._session = session
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.1):
            with contextlib.suppress(ToolError):  # it restarts at the end
                self.heaps.append(_heap(self._session))


def _heap(session: Session) -> int:
    return int(session.request("eval", _HEAP, timeout=20).data)


def _verify_ms(rig: Rig) -> float:
    offer, _ = load_image(rig.firmware(NEXT_VERSION).app)
    code = (_VERIFY % (offer.to_bytes(), offer.signature)).encode()
    with rig.board() as board:
        wait_settled(board.session)
        return median(int(board.session.request("eval", code).data) / 1000 for _ in range(5))
