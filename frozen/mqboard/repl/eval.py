"""Evaluates an expression or executes statements, and sends back what they print.

Output is collected in one buffer; whenever it is full it leaves as a reply message at once, so that
a command may print more than the board has memory for.
"""

from micropython import const

from mqboard import router
from mqboard.health.blackbox import BY_CODE, SILENT

_CHUNK = const(1400)  # bytes of output per reply message: with its headers one TCP segment
_SHOWN = const(40)  # characters of a text that tell which it was


class Output:
    """Gathers bytes into reply messages. `send(view)` is called with each full buffer."""

    def __init__(self, send):
        self._buffer = None  # made for the first bytes
        self._used = 0
        self._send = send
        self.total = 0

    def write(self, data):
        """Take `data` (bytes-like); the protocol of mqboard.log.Console.capture."""
        if not self._buffer:
            self._buffer = memoryview(bytearray(_CHUNK))
        view = memoryview(data)
        self.total += len(view)
        while len(view):
            count = min(len(view), _CHUNK - self._used)
            self._buffer[self._used : self._used + count] = view[:count]
            self._used += count
            view = view[count:]
            if self._used == _CHUNK:
                self._used = 0
                try:
                    self._send(self._buffer)
                except Exception:
                    self._send = _forget  # the link is gone: the command runs on, unheard

    def rest(self):
        """Return the bytes not sent yet."""
        return bytes(self._buffer[: self._used]) if self._used else b""


class Repl:
    """Answers `eval`. `console`: the mqboard.log.Console to capture; `names`: the globals; `box`
    (health.blackbox) notes what runs."""

    def __init__(self, console, names, box):
        self._console = console
        self._names = names
        self._box = box
        names["help"] = self._help

    async def eval(self, request):
        """Answer the `eval` command: repr() of an expression, or the output of statements.

        What an expression prints comes before its repr(), and instead of it when that is None.
        """
        output = Output(request.reply_now)
        try:
            source = str(request.body, "utf-8")
            request.body = None  # a long one is large beside its own text
            self._box.evaluated = True
            shown = source[:_SHOWN].replace("\n", " ")
            self._box.run("eval %s %s" % (request.ident, shown))
            self._box.end(BY_CODE if "reset(" in source else SILENT)
            self._run(source, output)
        except MemoryError:
            raise
        except BaseException as error:  # its own SystemExit or KeyboardInterrupt, too
            if output.total:
                await request.reply(output.rest(), last=False)
            await request.error(router.traceback(error))
            return
        finally:
            self._box.end(SILENT)
            self._box.run("")
        await request.reply(output.rest())

    def _run(self, source, output):
        try:
            code = compile(source, "<eval>", "eval")
            expression = True
        except SyntaxError:
            code = compile(source, "<eval>", "exec")
            expression = False
        self._console.capture = output.write
        try:
            if expression:
                value = eval(code, self._names)
                if value is not None or not output.total:
                    output.write(repr(value).encode())
            else:
                exec(code, self._names)
        finally:
            self._console.capture = None

    def _help(self, *about):
        """Print what help() prints; of the board, what a module may use of it."""
        if about and about[0] is self._names.get("board"):
            from mqboard.modules.help import BOARD

            print(BOARD)
        else:
            help(*about)


def _forget(data):
    pass
