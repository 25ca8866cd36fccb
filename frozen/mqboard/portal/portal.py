"""Runs the access point for its time, with the page for whoever knows the password.

`setup` of the configuration has the password; without one of at least eight characters there is no
access point: never an open one.
"""

import asyncio
import json

from micropython import const

from mqboard.clock import ticks_diff, ticks_ms
from mqboard.portal import form, http, names

_PORT = const(80)
_CLIENTS = const(2)  # at a time, each on a connection of its own
_REQUEST_S = const(15)
_TURN_S = 0.2
_LEAST_KEY = const(8)


class Portal:
    """An access point `name` by `interface`, a network.WLAN, with what `setup` says.

    `base` is the configuration that the form changes. `take(text)` checks a new one and has the
    next boot try it: returns the seconds that it has for that, or raises ValueError with what is
    wrong. `why` is what is told at first.
    """

    def __init__(self, interface, name, setup, base, take, log, why=""):
        self._interface = interface
        self._name = name
        self._setup = setup
        self._base = base
        self._take = take
        self._log = log
        self._why = why
        self._serving = 0
        self.taken = False  # there is a new configuration: the board is to restart

    async def run(self, turn):
        """Be there for `setup.window_s`, or until there is a configuration; `turn()` is called now
        and then, and raises what is to end it sooner."""
        server = answering = None
        try:
            self._open()
            # Both are for the access point alone: there may be other networks.
            address, netmask = self._interface.ifconfig()[:2]
            server = await asyncio.start_server(self._serve, address, _PORT)
            answering = asyncio.create_task(names.serve(address, netmask))
            self._log.warning(
                "setup network %s is open for %d s: http://%s/",
                self._name,
                self._setup["window_s"],
                address,
            )
            await self._stay(turn)
        finally:
            if answering:
                answering.cancel()
            if server:
                server.close()
            self._interface.active(False)
            self._log.info("the setup network is closed")

    async def _stay(self, turn):
        started = ticks_ms()
        while not self.taken or self._serving:
            if ticks_diff(ticks_ms(), started) > self._setup["window_s"] * 1000:
                return
            turn()
            await asyncio.sleep(_TURN_S)

    def _open(self):
        key = self._setup["password"]
        if len(key) < _LEAST_KEY:
            raise ValueError("setup.password is too short")
        # In one call, and before it is on: it is never open to all.
        self._interface.config(ssid=self._name, security=3, key=key, max_clients=_CLIENTS)
        self._interface.active(True)

    def _address(self):
        return self._interface.ifconfig()[0]

    async def _serve(self, reader, writer):
        address, netmask = self._interface.ifconfig()[:2]
        if not names.is_near(writer.get_extra_info("peername"), address, netmask):
            await writer.wait_closed()  # what closes the socket
            return
        if self._serving < _CLIENTS and not self.taken:
            self._serving += 1
            try:
                await asyncio.wait_for(self._answer(reader, writer), _REQUEST_S)
            except (OSError, EOFError, MemoryError, asyncio.TimeoutError):
                pass  # too slow, gone, or too much: they may come again
            finally:
                self._serving -= 1
        writer.close()

    async def _answer(self, reader, writer):
        try:
            request = await http.read_request(reader)
            answer = self._answer_to(request)
        except http.HttpError as error:
            answer = http.answer(error.status, "%d" % error.status)
        writer.write(answer)
        await writer.drain()

    def _answer_to(self, request):
        host = request.headers.get(b"host", b"").split(b":")[0]
        if host != self._address().encode():
            # Phones ask for a page of their maker's, to find out whether there is a portal.
            if request.method != b"GET":
                return http.answer(403)
            return http.answer(302, location="http://%s/" % self._address())
        if request.path != b"/":
            return http.answer(404)
        if request.method == b"GET":
            return http.answer(200, form.page(self._name, None, self._why))
        if request.method != b"POST":
            return http.answer(405)
        if not request.from_us():
            return http.answer(403)
        return self._try(request.body)

    def _try(self, body):
        fields = None
        try:
            if self.taken:
                raise ValueError("there is one already; the board restarts")
            fields = form.read_form(body)
            seconds = self._take(json.dumps(form.configure(self._base, fields)))
        except (form.FormError, ValueError) as error:
            return http.answer(400, form.page(self._name, fields, str(error)))
        self.taken = True
        self._log.info("the setup network was given a configuration")
        return http.answer(200, form.taken(self._name, seconds))
