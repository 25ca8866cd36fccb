"""Brings MQTT to nodes that have ESP-NOW and no Wi-Fi: a module of ours, `mqgateway`.

In: the nodes of its settings, which publish and subscribe, each within what it may. Out: the
board's MQTT client. What is published is answered when the broker has it, or kept while there is
none; what comes for a node is held until it asks. The other end is mqnode.py; what travels is in
docs/gateway.md.
"""

from mqpipe import Radio

from mqboard.modules.together import together
from mqgateway.gateway import Gateway
from mqgateway.settings import read

_RX = 8192  # bytes of frames that wait for us


async def start(board, settings):
    """Run the gateway, for ever."""
    nodes, limits = read(settings, board.config.prefix)
    radio = Radio(rxbuf=_RX)
    board.gateway = gateway = Gateway(board.client, board.clock, radio, nodes, **limits)
    try:
        await together(gateway.run(), gateway.look())
    finally:
        board.gateway = None
        gateway.end()
        radio.close()


def statistics(board):
    """Return what `mqboard modules --json` shows of us."""
    return board.gateway.statistics()
