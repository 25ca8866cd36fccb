"""Takes an update: gives the offer to the receiver, which is made for one transfer.

The receiver takes 3 KB of an ESP32's heap (6 KB on 64 bits), which an idle board has for the user:
most boards wait for years between two updates, and each ends in a reset.
"""

from esp32 import Partition

from mqboard.log import Logger
from mqboard.update import install
from mqboard.update.receiver import Receiver


async def answer(board, request):
    """Begin with a transfer, or have the one under way answer."""
    receiver = board.receiver or make_receiver(board)
    await receiver.update(request)
    if not board.receiver and not receiver.idle():
        # In this order: without memory for the task the next offer begins anew.
        board.supervisor.add("update", lambda: _run(board), vital=False)
        board.receiver = receiver


def make_receiver(board):
    """Return a Receiver for the other slot. Raises whatever keeps this firmware from having one."""
    running = Partition(Partition.RUNNING)
    try:
        spare = running.get_next_update()
    except OSError:
        spare = None
    return Receiver(
        spare,
        running,
        board.identity,
        board.client.subscribe,
        board.client.unsubscribe,
        lambda offer: install.install(board, spare, offer.sha256, offer.version),
        lambda: board.restart("update"),
        Logger("update"),
    )


async def _run(board):
    await board.receiver.run()
    board.receiver = None
