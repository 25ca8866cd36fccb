"""Makes boards, images and options for the tests of rollouts."""

import random

from mqhost.fleet.presence import Presence
from mqhost.fleet.rollout.options import Options
from mqhost.link.roster import Sighting
from mqhost.signing.offer import Offer


def picture(board="sim", content=b"new", version="2.0"):
    """Return an offer and the app image that it describes."""
    app = content + board.encode()
    return Offer.make(app, board=board, mcu="esp32", version=version, seq=2), app


def presence(prefix, board="sim", online=True, image="old", slot_state="valid", mode="normal"):
    """Return what is known of a board by its status."""
    status = {"state": "online" if online else "offline", "board": board}
    if online:
        status |= {"image": image, "slot_state": slot_state, "mode": mode, "boot_id": "1"}
    return Presence.of(prefix, Sighting(status, None))


def options(**texts):
    """Return options without what makes tests long."""
    return Options.parse(**{"settle": "0s", "wave": "100%"} | texts)


def fleet(count, **facts):
    """Return `count` boards that are online, in an order of no meaning."""
    boards = [presence(f"site{number % 3}/{number:04}", **facts) for number in range(count)]
    random.Random(count).shuffle(boards)
    return boards
