"""Notices another board with our prefix, as a configuration that was copied makes it.

Only what comes live counts: a retained birth may be that of a board long gone. Each of two boards
tells of the other in its birth, and from then on listens to commands for its hardware id alone, too
(mqwire.twins). Loaded when there is something to hear, which for most boards is never.
"""

import json

import mqwire
from mqboard.mqtt import MqttError
from mqwire.twins import MAX_ID, UNKNOWN, own_root


class Twins:
    """Takes what others publish as our status. It writes `twin` of the board's identity."""

    def __init__(self, board):
        self._board = board
        self._known = []  # the ids we have met since the start

    def hear(self, payload):
        """Take a status on our topic that is not what this boot says of itself."""
        me = self._board.identity
        try:
            status = json.loads(str(payload, "utf-8"))
            online = status["state"] == mqwire.ONLINE
        except (ValueError, KeyError, TypeError, RuntimeError):  # none; or nested too deeply
            status, online = {}, False
        other = status.get("id", UNKNOWN)
        if not online:
            # It may be the will of a connection that we have lost ourselves. In any case what the
            # broker keeps now is not how we are.
            if me.twin == other:
                me.twin = None
            self._board.announce()
        elif other == me.id:
            self._board.announce()  # a birth of an earlier boot that was late
        elif not me.twin:
            self._meet(str(other)[:MAX_ID])
            self._board.announce()
        elif not status.get("twin"):
            self._board.announce()  # it has met nobody yet

    def _meet(self, other):
        board = self._board
        board.identity.twin = other
        if other in self._known:
            return
        if not self._known:
            board.supervisor.add("own commands", self._listen, vital=False)
        self._known.append(other)
        board.log.error(
            "board %s has our prefix %s, too; we are %s. Commands reach both: give one another",
            other,
            board.config.prefix,
            board.identity.id,
        )

    async def _listen(self):
        """Subscribe to the commands for us alone; the router gets them as those for everybody."""
        prefix = self._board.config.prefix
        own = own_root(prefix, self._board.identity.id)

        def on_message(topic, payload, retained):
            self._board.router.on_message(prefix + topic[len(own) :], payload, retained)

        try:
            await self._board.client.subscribe(mqwire.command_filter(own), on_message)
        except MqttError as error:
            self._board.log.error("commands for us alone cannot reach us: %s", error)
