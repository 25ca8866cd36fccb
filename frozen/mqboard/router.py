"""Routes commands: from a message on <prefix>/mqb/cmd/# to a handler, and its replies back.

`on_message` runs inside the MQTT reader: it refuses retained commands and, with a `guard`, those
without a tag, drops duplicates, puts the parts of a long command together, and queues the whole.
`run()` executes one command after the other, so that a slow one does not hold up the reader. What
manages the board (ping, info, update, reset, cancel) has a queue of its own, `run(MANAGEMENT)`: it
never waits behind an operator's work, however long that takes. So have files: a task runs their
queue, by `drain(FILES)`, only while there is something in it. A file that is put is handed on
message by message.
"""

import asyncio
import gc

from micropython import const

import mqwire
from mqboard.request import Request, traceback

_MAX_QUEUE = const(8)
_MAX_PARTIAL = const(2)  # commands whose parts are still arriving
_SILENT = const(3)  # calls of `age` that one waits for its next part
_REMEMBERED = const(8)  # ids of commands taken, with their answers when these are short
_KEPT_ANSWER = const(128)
# Until a module that is stopped has let go of its memory. Whole seconds: a fraction takes some.
_ROOM_S = 2
_TRIES = const(20)  # to publish an answer for which there is no memory; the supervisor makes room

# Queues, for `register` and `run`.
WORK = 0
MANAGEMENT = 1
FILES = 2
EACH = 3  # none: each message is taken at once, in the reader

_NO_MEMORY = (mqwire.error_topic, b"MemoryError: not enough memory for this command")


class Router:
    """Hands commands to handlers. `await publish(topic, payload, qos)`; `publish_now` blocks.

    `make_room()` is asked for memory when a command that manages the board finds none; it returns
    whether there will soon be some. `files()` returns the mqboard.files.service.Files.
    """

    guard = None  # mqboard.auth.Guard, where commands need a tag

    @staticmethod
    def make_room():
        """Do nothing: nobody has told us how."""
        return False

    jobs = None  # mqboard.repl.jobs.Jobs, while code runs
    mounted = None  # mqboard.repl.mounted.Mounted, while a folder of the host is
    active = 0  # commands that are being answered

    def __init__(self, prefix, publish, publish_now, log):
        self.prefix = prefix
        self.publish = publish
        self.publish_now = publish_now
        self._log = log
        self._handlers = {}
        self._groups = []  # (names, (handler, queue)): a tuple of names is frozen, a dict is not
        self._partial = []
        self._queues = ([], [], [])
        self._wakes = (asyncio.Event(), asyncio.Event())
        self._idents = [""] * _REMEMBERED  # of commands queued, running or done: a ring
        # (topic function, payload) or None: the topic itself is made anew when it is needed.
        self._answers = [None] * _REMEMBERED
        self._oldest = 0
        self._ping = (None, None)
        self.register("ping", self._answer_ping, MANAGEMENT)

    def register(self, command, handler, queue=WORK):
        """Have `await handler(request)` answer `command`, a name or a tuple of names, in its turn
        of that queue.

        Those for files need no handler: `files()` has it. With EACH it takes each message at once.
        """
        entry = (handler, queue)
        if isinstance(command, tuple):
            self._groups.append((command, entry))
        else:
            self._handlers[command] = entry

    def _entry(self, command):
        """Return (handler, queue) of a command, None if there is no such command."""
        for names, entry in self._groups:
            if command in names:
                return entry
        return self._handlers.get(command)

    def expect_ping(self, ident, arrived):
        """Have `arrived()` called when our own command ping/`ident` was answered.

        It takes the way of all that manages the board, so it proves reader, queue and
        acknowledged replies.
        """
        self._ping = (ident, arrived)

    async def _answer_ping(self, request):
        await request.reply(b"OK")
        if request.ident == self._ping[0]:
            self._ping[1]()

    def on_message(self, topic, payload, retained):
        """Take one command message; called by the MQTT client. True asks for a turn for others.
        After MemoryError it can be given again.
        """
        parsed = mqwire.parse_command_topic(self.prefix, topic)
        if not parsed:
            return
        command, ident, tail = parsed
        if retained:
            # It would be executed again at every boot; nobody waits for the answer.
            self._log.warning("refused the retained command %s/%s", command, ident)
            return
        if not self.guard:
            return self._take(command, ident, tail, payload)
        try:
            payload = self.guard.admit(self, command, ident, topic, payload)
            return payload is not None and self._take(command, ident, tail, payload)
        except MemoryError:
            self.guard.release()  # it comes again, with the same number
            self.make_room()  # it may be what is to stop a module
            raise

    def _take(self, command, ident, tail, payload):
        """Take a message of somebody who may command us; see `on_message`."""
        if self.jobs:
            self.jobs.hear(command, ident, tail, payload)
        if command == "mounted" and self.mounted:
            self.mounted.hear(ident, payload)
        if command in ("credit", "mounted"):
            return  # no command of its own: for one that is under way, or was
        try:
            sequence, last = mqwire.parse_header(payload)
        except mqwire.WireError as error:
            self._say_error(command, ident, str(error).encode())
            return
        if self._repeated(command, ident, sequence):
            return
        entry = self._entry(command)
        if not entry:
            self._say_error(command, ident, b"Command '%s' not supported" % command.encode())
        elif entry[1] == EACH:
            try:
                data = payload[mqwire.HEADER_SIZE :]
                return self.files().take(ident, tail, sequence, last, data)
            except MemoryError:
                self._say_error(command, ident, _NO_MEMORY[1])
        else:
            self._collect(command, ident, tail, sequence, last, payload, entry[1])

    def age(self):
        """Give up commands whose parts do not come any more; called every ten seconds."""
        for request in list(self._partial):
            request.age += 1
            if request.age > _SILENT:
                self._partial.remove(request)
                fault = b"protocol error: part %d did not come" % request.parts
                self._say_error(request.command, request.ident, fault)

    def say_aside(self, command, ident, text):
        """Answer what was not taken with an error, if there is not much else to say: who sends it
        may send very many.
        """
        if len(self._queues[MANAGEMENT]) < _MAX_QUEUE // 2:
            self._say(command, ident, (mqwire.error_topic, text))

    def remember(self, ident, answer):
        """Keep the answer of command `ident`, if it is short, for when the command is repeated."""
        if ident in self._idents and len(answer[1]) <= _KEPT_ANSWER:
            self._answers[self._idents.index(ident)] = answer

    def _repeated(self, command, ident, sequence):
        """Return whether this id was taken before; give its short answer again, if there is one:
        not for each further part of a command that was answered before it was all there.
        """
        if ident not in self._idents:
            return False
        answer = self._answers[self._idents.index(ident)]
        if answer and not sequence:
            self._say(command, ident, answer)
        return True

    def _collect(self, command, ident, tail, sequence, last, payload, queue):
        for request in self._partial:
            if request.ident == ident:
                break
        else:
            request = Request(self, command, ident, tail)
            self._partial.append(request)
            if len(self._partial) > _MAX_PARTIAL:
                self._partial.pop(0)
        if sequence < request.parts:
            return  # a duplicate
        if len(self._queues[queue]) >= _MAX_QUEUE:
            fault = b"busy: %d commands are waiting" % _MAX_QUEUE
        else:
            try:
                fault = request.take(sequence, payload[mqwire.HEADER_SIZE :])
            except MemoryError:
                self._make_room(queue)
                fault = _NO_MEMORY[1]
        if fault or last:
            self._partial.remove(request)
        if fault:
            self._say_error(command, ident, fault)
        elif last:
            self._enqueue(request, queue)
            self.take_ident(ident)

    def _say_error(self, command, ident, text):
        """Queue an error as if the command had run and failed with it."""
        self._say(command, ident, (mqwire.error_topic, text))
        self.take_ident(ident)

    def _say(self, command, ident, answer):
        if len(self._queues[MANAGEMENT]) < 2 * _MAX_QUEUE:
            request = Request(self, command, ident, "")
            request.answer = answer
            self._enqueue(request, MANAGEMENT)

    def take_ident(self, ident):
        """Put `ident` into the ring of those that are not executed again."""
        self._idents[self._oldest] = ident
        self._answers[self._oldest] = None
        self._oldest = (self._oldest + 1) % _REMEMBERED

    def _enqueue(self, request, queue):
        self._queues[queue].append(request)
        if queue == FILES:
            try:
                self.files().serve()
            except MemoryError:
                self._queues[FILES].remove(request)
                self._say(request.command, request.ident, _NO_MEMORY)
        else:
            self._wakes[queue].set()

    async def run(self, queue=WORK):
        """Execute the commands of one queue, for ever."""
        wake = self._wakes[queue]
        while True:
            await self.drain(queue)
            wake.clear()
            await wake.wait()

    async def drain(self, queue):
        """Execute the commands of one queue until there are no more."""
        requests = self._queues[queue]
        while requests:
            self.active += 1
            try:
                await self._start_next(requests)
            except MemoryError:
                await asyncio.sleep(_ROOM_S)  # it has not begun: it is still the first
            except Exception as error:
                self._log.exception(error, "a command could not be answered")
            finally:
                self.active -= 1

    def _start_next(self, requests):
        """Return what answers the first of `requests`, and take it out; MemoryError: not now."""
        # Not in `run`: the frame of a coroutine that waits keeps what it passed to its last calls,
        # here a request with its body.
        request = requests[0]
        work = self._answer(request, None if request.answer else self._serve(request))
        requests.pop(0)
        return work

    async def _answer(self, request, serving):
        """Have a request answered. What `serving`, the work of its handler, leaves to say, or the
        answer that it has already, is published; while there is no memory for that, later.
        """
        answer = request.answer
        if serving:
            answer = await serving
            try:
                queue = self._entry(request.command)[1]
                if answer is _NO_MEMORY and not request.sequence and self._make_room(queue):
                    await asyncio.sleep(_ROOM_S)
                    answer = await self._serve(request)
            except MemoryError:
                pass
            if not answer:
                return
            request.body = b""
            self.remember(request.ident, answer)
        for _ in range(_TRIES):
            try:
                make_topic, payload = answer
                await self.publish(make_topic(self.prefix, request.ident), payload, 1)
                return
            except MemoryError:
                gc.collect()
            await asyncio.sleep(_ROOM_S)
        self._log.error("no memory for the answer to %s", request.ident)

    async def _serve(self, request):
        """Have the handler answer; return the answer that is left to give: an error, or None."""
        try:
            try:
                handler = self._entry(request.command)[0] or self.files().answer
                await handler(request)
                return None
            except UnicodeError:
                text = b"the command '%s' is no UTF-8" % request.command.encode()
            except MemoryError:
                gc.collect()
                return _NO_MEMORY
            except Exception as error:
                text = traceback(error)
            return mqwire.error_topic, text
        except MemoryError:  # for that text
            return _NO_MEMORY

    def _make_room(self, queue):
        """What manages the board goes before modules, and may be what is to stop one."""
        return queue == MANAGEMENT and self.make_room()
