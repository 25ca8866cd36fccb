"""Drives the MQTT client on MicroPython, with nothing else of ours: a test says what it does.

The first line on stdin is JSON, the settings: host, port, client_id, backoff_ms, `tls` (arguments
of mqboard.net.tls.make_context, or null), `mqtt5`, whether the client is that of MQTT 5, and
`options`, further arguments of the client. Each other line is JSON, [number, code]: the body of a
coroutine, run as a task of its own among the names of this module; with the number 0, plain code
that defines more names. What happens is printed as JSON, one list a line: ["returned", number,
value], ["raised", number, error's name, text], and what `say` is given. At the end of stdin the
client disconnects politely.
"""

import asyncio
import gc
import json
import sys

from mqboard import net

settings = json.loads(sys.stdin.readline())
if settings["mqtt5"]:
    from mqboard.mqtt5 import Client
else:
    from mqboard.mqtt import Client
client = None
context = None


def say(*words):
    """Tell the test."""
    print(json.dumps(words))


class Log:
    """Tells the test what the client logs."""

    def _say(self, text, *values):
        say("log", text % values)

    debug = info = warning = error = _say

    def exception(self, error, text, *values):
        say("log", text % values, repr(error))


def show(topic, payload, retained):
    """Tell what the handler is given."""
    say("got", topic, str(payload, "utf-8"), retained)


async def show_later(topic, payload, retained):
    """Tell the same from a coroutine."""
    show(topic, payload, retained)


async def open_stream(*server):
    """Open a new connection; looks into `settings` each time, so that a test can change them. To
    another server, where there are a host and a port.
    """
    global context
    if settings["tls"] and not context:
        from mqboard.net.tls import make_context

        context = make_context(**settings["tls"])
    host, port = server or (settings["host"], settings["port"])
    return await net.open_stream(host, port, context)


def make():
    """Make the client that `settings` describe."""
    options = settings["options"]
    if options.get("will"):
        topic, payload, qos, retain = options["will"]
        options["will"] = (topic, payload.encode(), qos, retain)
    if options.get("properties"):
        options["properties"] = {int(key): value for key, value in options["properties"].items()}
    made = Client(open_stream, settings["client_id"], log=Log(), **options)
    made.backoff_ms = settings["backoff_ms"]
    made.on_up = lambda: say("up", made.session_present)
    return made


async def watch():
    """Tell the test of each connection that is lost."""
    while True:
        await client.up.wait()
        await client.down.wait()
        say("down")


async def until(condition):
    """Wait until `condition()` holds; the test has the deadline."""
    while not condition():
        await asyncio.sleep_ms(5)


def used():
    """Return the bytes of heap in use, without rubbish."""
    gc.collect()
    gc.collect()
    return gc.mem_alloc()


def sizes(thing, name="client", depth=3):
    """Return how much is in each list, dict and set of an object, and of those it holds."""
    found = {}
    for word, value in thing.__dict__.items():
        if isinstance(value, (list, dict, set)):
            found[name + "." + word] = len(value)
        elif depth and hasattr(value, "__dict__") and not isinstance(value, type):
            found.update(sizes(value, name + "." + word, depth - 1))
    return found


async def perform(number, code):
    """Run the body of a coroutine and tell how it ended."""
    try:
        names = globals()
        exec(
            "async def _body():\n" + "".join(" " + line + "\n" for line in code.split("\n")), names
        )
        say("returned", number, await names["_body"]())
    except (Exception, asyncio.CancelledError) as error:
        sys.print_exception(error)
        say("raised", number, type(error).__name__, str(error))


async def listen():
    """Do what stdin says until it ends."""
    lines = asyncio.StreamReader(sys.stdin)
    while line := await lines.readline():
        number, code = json.loads(line)
        if number:
            asyncio.create_task(perform(number, code))
        else:
            exec(code, globals())


async def main():
    global client
    client = make()
    watching = asyncio.create_task(watch())
    say("ready", used())
    async with client:
        await listen()
    watching.cancel()
    say("left")


asyncio.run(main())
