"""Drives a rollout in a process of its own, for tests that kill it: what boards run stands in files
of a folder, a push ends when a line comes on stdin, and what happens is said on stdout.

    python rolloutdriver.py DATABASE NUMBER FOLDER NAME TTL
"""

import os
import sys
import threading
from pathlib import Path

from mqhost.fleet.rollout.drive import Driver, drive
from mqhost.fleet.rollout.outcome import CONFIRMED
from mqhost.fleet.rollout.states import Seen
from mqhost.fleet.store.store import Store


def say(line):
    """Write a line at once, whole: threads write at the same time."""
    os.write(1, f"{line}\n".encode())


class Folder:
    """Boards, each a file with the hash of the image that it runs; and the pushes to them."""

    connected = True

    def __init__(self, path):
        self._path = path
        self._turns = threading.Semaphore(0)

    def seen(self):
        return {
            file.name: Seen(True, file.read_text(), True, True, "1", "", 0.0)
            for file in self._path.iterdir()
        }

    def start(self, board, offer, app, done):
        threading.Thread(target=self._push, args=(board, offer, done), daemon=True).start()

    def stop(self):
        pass

    def listen(self):
        for _ in sys.stdin:
            self._turns.release()

    def _push(self, board, offer, done):
        say(f"push {board.prefix}")
        self._turns.acquire()
        (self._path / board.prefix).write_text(offer.sha256)
        say(f"sent {board.prefix}")
        done(CONFIRMED)


def main():
    database, number, folder, name, ttl = sys.argv[1:]
    boards = Folder(Path(folder))
    threading.Thread(target=boards.listen, daemon=True).start()
    with Store(database) as store:
        driver = Driver(store, int(number), boards, boards, name, ttl=float(ttl))
        say("ready")
        drive(driver)
    say("over")


main()
