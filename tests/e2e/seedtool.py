"""Talks to a board as the first MQBoard's command line did: `eval`, `get`, `put`, and the rest as
Python text through `eval`.

Made from what is known of that protocol (docs/protocol.md): ids of 8 characters, a header of two
bytes, messages of 1400 bytes of data at QoS 1, a path in the topic's tail, errors as bare text. It
has the habits of that tool, too: paths are pasted into the text, names are those of MicroPython
1.12 (uos, uhashlib), a put of up to 100 KiB waits for nothing, and a longer one is 16 messages
ahead of the last `SEQ n` at most.
"""

import ast
import base64
import hashlib
import os
import queue
import struct
import time

import paho.mqtt.client as paho

DATA = 1400
AHEAD = 16
WITHOUT_WAITING = 100 * 1024

_LIST = """
import uos
for entry in uos.ilistdir('{0}'):
    size = entry[3] if len(entry) > 3 else 0
    print('%12d %s%s' % (size, entry[0], '/' if entry[1] & 0x4000 else ''))
"""
_TREE = """
import uos
def _walk(folder):
    for entry in uos.ilistdir(folder or '/'):
        path = folder + '/' + entry[0]
        if entry[1] & 0x4000:
            _walk(path)
        else:
            print('%12d %s' % (entry[3], path))
_walk('{0}'.rstrip('/'))
del _walk
"""
_HASHES = """
import uhashlib, ubinascii, uos
def _hash(path):
    digest = uhashlib.sha1()
    with open(path, 'rb') as file:
        while True:
            piece = file.read(1024)
            if not piece:
                return str(ubinascii.hexlify(digest.digest()), 'utf-8')
            digest.update(piece)
for entry in uos.ilistdir('{0}'):
    if not entry[1] & 0x4000:
        print("'%s':'%s'" % (entry[0], _hash('{0}'.rstrip('/') + '/' + entry[0])))
del _hash
"""
_FOLDERS = """
import uos
path = ''
for part in '{0}'.split('/'):
    path += part
    try:
        uos.mkdir(path)
    except OSError:
        pass
    path += '/'
"""
_RESETS = {
    "normal": "log.critical('going into normal mode')\nsys.modules['watchdog'].reset('n')\n",
    "safe": "log.critical('going into safe mode')\nsys.modules['watchdog'].reset('f')\n",
    "soft": "log.critical('soft reset')\nsys.modules['watchdog'].reset('s')\n",
    "hard": "machine.reset()",
}


class BoardSays(Exception):
    """Raised with the text of an error that the board has sent."""


class SeedTool:
    """The tool, with the board `prefix` at the broker on `port`, while a `with` block lasts."""

    def __init__(self, port, prefix, timeout=20):
        self._prefix = prefix
        self._timeout = timeout
        self._arrived = queue.Queue()
        self._granted = queue.Queue()
        self.log = queue.Queue()
        self.most_ahead = 0  # messages of a put that no SEQ had told of
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, clean_session=True)
        self._client.on_message = self._take
        self._client.on_subscribe = lambda *_: self._granted.put(None)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()

    def perform(self, command, body=b"", tail="", answered=True):
        """Send a command and return its whole reply, or raise BoardSays."""
        ident = base64.urlsafe_b64encode(os.urandom(6)).decode()
        topics = [f"{self._prefix}/mqb/reply/{kind}/{ident}" for kind in ("out", "err")]
        self._client.subscribe([(topic, 1) for topic in topics])
        self._granted.get(timeout=self._timeout)
        topic = f"{self._prefix}/mqb/cmd/{command}/{ident}" + (f"/{tail}" if tail else "")
        pieces = [body[start : start + DATA] for start in range(0, len(body), DATA)] or [b""]
        told, output, expected = -1, b"", 0
        done = not answered
        number = 0
        while number < len(pieces) or not done:
            waits = len(body) > WITHOUT_WAITING and number - told > AHEAD
            if number < len(pieces) and not waits:
                last = number == len(pieces) - 1
                head = struct.pack(">H", last << 15 | number)
                self._client.publish(topic, head + pieces[number], 1)
                number += 1
                self.most_ahead = max(self.most_ahead, number - 1 - told)
                if self._arrived.empty():
                    continue
            try:
                where, payload = self._arrived.get(timeout=self._timeout)
            except queue.Empty:
                raise TimeoutError(f"{command}: {number} of {len(pieces)} sent") from None
            if where not in topics:
                continue
            if where == topics[1]:
                raise BoardSays(payload.decode())
            (head,) = struct.unpack_from(">H", payload)
            sequence, data = head & 0x7FFF, payload[2:]
            if sequence != 0x7FFF:
                if sequence < expected:
                    continue
                assert sequence == expected, f"part {expected} is missing"
                expected += 1
            if data.startswith(b"SEQ ") and len(data) < 10:
                assert int(data[4:]) > told
                told = int(data[4:])
                continue
            output += data
            done = done or bool(head & 0x8000)
        self._client.unsubscribe(topics)
        return output

    # What it offers.

    def eval(self, text):
        return self.perform("eval", text.encode()).decode()

    def get(self, path):
        return self.perform("get", tail=path)

    def put(self, data, path):
        assert self.perform("put", data, path) == b"OK"

    def ls(self, folder="."):
        """Return {name: size}; folders end with a slash."""
        return _sizes(self.eval(_LIST.format(folder)))

    def ls_recursive(self, folder="/"):
        """Return {path: size} of all files."""
        return _sizes(self.eval(_TREE.format(folder)))

    def ls_sha(self, folder="/"):
        """Return {name: SHA-1} of the files in a folder."""
        text = self.eval(_HASHES.format(folder))
        return ast.literal_eval("{" + ",".join(text.splitlines()) + "}")

    def mkdir(self, folder):
        return self.eval(f"import uos; uos.mkdir('{folder}')")

    def mkdir_path(self, folder):
        return self.eval(_FOLDERS.format(folder))

    def rm(self, path):
        return self.eval(f"import uos; uos.remove('{path}')")

    def rmdir(self, folder):
        return self.eval(f"import uos; uos.rmdir('{folder}')")

    def reset(self, mode="normal"):
        """Reset; a hard one is not answered."""
        self.perform("eval", _RESETS[mode].encode(), answered=mode != "hard")

    def sync(self, folder, files):
        """Bring `files`, {name: bytes}, into a folder; return the names that were put."""
        try:
            there = self.ls_sha(folder)
        except BoardSays:  # there is none
            self.mkdir_path(folder)
            there = {}
        here = {name: hashlib.sha1(data).hexdigest() for name, data in files.items()}
        differ = [name for name in files if there.get(name) != here[name]]
        for name in differ:
            self.put(files[name], f"{folder.rstrip('/')}/{name}")
        return differ

    def view(self, lines, timeout=20):
        """Follow the log until `lines`, parts of lines, have come, in their order; return it."""
        self._client.subscribe(f"{self._prefix}/log", 1)
        self._granted.get(timeout=self._timeout)
        seen, deadline = [], time.monotonic() + timeout
        yield  # it is subscribed
        wanted = list(lines)
        while wanted:
            seen.append(self.log.get(timeout=max(0.01, deadline - time.monotonic())))
            if wanted[0] in seen[-1]:
                del wanted[0]
        yield seen

    def _take(self, client, userdata, message):
        if message.topic == f"{self._prefix}/log":
            self.log.put(message.payload.decode())
        else:
            self._arrived.put((message.topic, message.payload))


def _sizes(text):
    lines = [line.split(maxsplit=1) for line in text.splitlines()]
    return {name: int(size) for size, name in lines}
