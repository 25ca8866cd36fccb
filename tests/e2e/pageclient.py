"""Talks to a board by what docs/protocol.md says, and by nothing else: no line of ours is imported.

It stands for whoever writes a client in another language. Where it needs to know something that the
page does not say, the page has to be mended.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import queue
import struct
import time
import zlib

import paho.mqtt.client as paho

PAYLOAD, HEADER, LAST = 4352, 2, 0x8000
BLOCK, RECORDS, BLOCK_HASH = 4096, 8, 4
RECEIVING, INSTALLED = 0, 1
DEFLATE, DELTA = 1, 2
LITERAL, CHUNK = 0xFFFF, 256
ITEM = 32768
SILENT = 2.0  # seconds after which a message counts as lost


class Refused(Exception):
    """What came on `err`, or a code that says no."""


class PageClient:
    """A client of the board at `prefix`; `lose(number)` says which block messages get lost."""

    token = "page"

    def __init__(self, host, port, prefix, lose=lambda number: False, key=None):
        self.prefix = prefix
        self._key = key
        self._sender, self._number = os.urandom(8), 0
        self.lost = self.sent = 0
        self._lose = lose
        self._status = queue.SimpleQueue()
        self._replies = {}
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_message = self._take
        self._client.connect(host, port)
        self._client.loop_start()
        self._subscribed = queue.SimpleQueue()
        self._client.on_subscribe = lambda *_: self._subscribed.put(None)
        self._subscribe(f"{prefix}/mqb/status")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()

    # Commands and replies

    def ask(self, command, body=b"", tail="", timeout=10.0):
        """Send a command, and return the whole reply."""
        with self._command(command, body, tail) as messages:
            return b"".join(body for body, _ in self._parts(messages, timeout))

    @contextlib.contextmanager
    def _command(self, command, body=b"", tail="", first=0):
        """Send a command with its whole body; gives the queue of what is answered."""
        ident = base64.urlsafe_b64encode(os.urandom(6)).decode()
        messages = queue.SimpleQueue()
        for kind in ("out", "err"):
            topic = f"{self.prefix}/mqb/reply/{kind}/{ident}"
            self._replies[topic] = (kind, messages)
            self._subscribe(topic)
        self._topic = f"{self.prefix}/mqb/cmd/{command}/{ident}" + (f"/{tail}" if tail else "")
        if body is not None:
            for number, last, piece in pieces(body):
                self._send(self._topic, number, last, piece)
        yield messages
        for kind in ("out", "err"):
            self._client.unsubscribe(f"{self.prefix}/mqb/reply/{kind}/{ident}")

    def _send(self, topic, number, last, data):
        message = struct.pack(">H", number | (LAST if last else 0)) + data
        self._client.publish(topic, message + self._tag(topic, message), qos=1)

    def _tag(self, topic, message):
        if self._key is None:
            return b""
        if not self._number:
            status = self._status.get(timeout=10)
            name = hmac.new(self._key, b"mqboard key", "sha256").hexdigest()[:8]
            assert status["auth"]["key"] == name
            self._nonce = bytes.fromhex(status["auth"]["nonce"])
        self._number += 1
        sender = self._sender + struct.pack(">I", self._number)
        signed = self._nonce + sender + struct.pack(">H", len(topic.encode())) + topic.encode()
        return sender + hmac.new(self._key, signed + message, "sha256").digest()[:16]

    def _parts(self, messages, timeout):
        """Yield the bodies of a reply's messages in their order, each with whether it is the
        last."""
        due = 0
        while True:
            kind, payload = messages.get(timeout=timeout)
            if kind == "err":
                raise Refused(payload.decode())
            (head,) = struct.unpack_from(">H", payload)
            if head != 0xFFFF:
                assert head & ~LAST == due, "a message is missing"
                due += 1
            yield payload[HEADER:], bool(head & LAST)
            if head & LAST:
                return

    def _subscribe(self, topic):
        self._client.subscribe(topic, 1)
        self._subscribed.get(timeout=10)

    def _take(self, _client, _data, message):
        if message.topic.endswith("/mqb/status"):
            self._status.put(json.loads(message.payload or b"null"))
        elif message.topic in self._replies:
            kind, messages = self._replies[message.topic]
            messages.put((kind, message.payload))

    # An update

    def update(self, image, offer, signature, base=b"", patience=60.0):
        """Push an image, as differences to `base` if there is one, and wait until the board has
        confirmed it; returns its status."""
        topic = f"{self.prefix}/mqb/blocks/{base64.urlsafe_b64encode(os.urandom(6)).decode()}"
        options = {"topic": topic}
        if base:
            options["base"] = hashlib.sha256(base).hexdigest()
        options = json.dumps(options).encode()
        parts = (offer, signature, options)
        body = b"".join(struct.pack(">H", len(part)) + part for part in parts)
        number = 0
        deadline = time.monotonic() + patience
        while True:
            assert time.monotonic() < deadline, "the update does not get anywhere"
            with self._command("update", body) as replies:
                code, number = self._send_blocks(topic, replies, image, base, number)
            if code == INSTALLED:
                return self._confirmed(hashlib.sha256(image).hexdigest(), patience)

    def _send_blocks(self, topic, replies, image, base, number):
        """Send what the board says that it needs, until it is all there or nothing comes."""
        waiting, sent = None, 0
        while True:
            try:
                kind, payload = replies.get(timeout=SILENT)
            except queue.Empty:
                return RECEIVING, number  # something was lost: the same offer again
            if kind == "err":
                raise Refused(payload.decode())
            code, credit, received = struct.unpack_from(">BBH", payload, HEADER)
            rest = payload[HEADER + 4 :]
            if code != RECEIVING:
                if code != INSTALLED:
                    raise Refused(f"{code}: {rest.decode()}")
                return code, number
            if waiting is None:
                needed = [at for at in range(8 * len(rest)) if rest[at // 8] & 0x80 >> at % 8]
                waiting = iter(list(block_messages(image, base, needed)))
            while sent < received + credit and (message := next(waiting, None)):
                sent += 1
                number += 1
                if self._lose(number):
                    self.lost += 1
                else:
                    self._client.publish(topic, message, qos=0)
                    self.sent += len(message)

    def _confirmed(self, image, patience):
        deadline = time.monotonic() + patience
        while True:
            status = self._status.get(timeout=max(0.1, deadline - time.monotonic()))
            online = status and status["state"] == "online"
            if online and status["image"] == image and status["slot_state"] == "valid":
                return status

    # Files

    def files(self, command, **wanted):
        """Send a command of files; return its entries and what came of it."""
        lines = self.ask(command, json.dumps(wanted).encode()).decode().splitlines()
        *found, end = [json.loads(line) for line in lines]
        if "error" in end:
            raise Refused(end)
        return [entry for entry in found if isinstance(entry, list)], end

    def put(self, path, data, stop_after=None, parents=False):
        """Put a file; `stop_after`: so many messages, then this client is gone."""
        digest = hashlib.sha256(data).hexdigest()
        head = {"path": path, "size": len(data), "sha256": digest, "resume": True}
        head |= {"parents": True} if parents else {}
        head = json.dumps(head | {"token": self.token})
        head = struct.pack(">H", len(head)) + head.encode()
        with self._command("put", None) as replies:
            topic = self._topic
            if len(head) + len(data) <= PAYLOAD - HEADER:
                self._send(topic, 0, True, head + data)
            else:
                self._send(topic, 0, False, head)
            parts = self._parts(replies, 10.0)
            said = json.loads(next(parts)[0])
            at, number = said.get("have", 0), 1
            start = at
            while "size" not in said:
                if "error" in said:
                    raise Refused(said)
                while at < len(data) and at - said["have"] < said["credit"]:
                    piece = data[at : at + min(PAYLOAD - HEADER, said["credit"])]
                    at += len(piece)
                    self._send(topic, number, at == len(data), piece)
                    number += 1
                    if number == stop_after:
                        return start
                said = json.loads(next(parts)[0])
        assert said == {"size": len(data), "sha256": digest}
        return start

    def get(self, path):
        """Get a file, several pieces of it at a time."""
        ((_, size, *_),) = self.files("stat", paths=[path])[0]
        got = bytearray()
        while len(got) < size:
            ends = range(len(got), min(size, len(got) + 4 * ITEM), ITEM)
            wanted = {"files": [[path, offset, ITEM] for offset in ends]}
            with self._command("get", json.dumps(wanted).encode()) as replies:
                for part, _ in self._parts(replies, 10.0):
                    kind, rest = part[0], part[1:]
                    if kind == 2:
                        raise Refused(json.loads(rest))
                    if kind == 0:
                        got += rest
                    else:
                        assert struct.unpack(">IIB", rest)[0] == size
        return bytes(got)

    # Applications

    def deploy(self, name, version, files, modules, key="", sign=lambda manifest: b""):
        """Bring an application to the board, and wait until it is confirmed; returns what the
        status says of it. `key` is the name of the key that `sign` signs with."""
        paths = sorted(files, key=lambda path: path.encode().replace(b"/", b"\0"))
        rows = [[path, len(files[path]), hashlib.sha256(files[path]).hexdigest()] for path in paths]
        record = {"format": 1, "key": key, "kind": "app", "name": name, "version": version}
        record |= {"seq": int(time.time()), "committed": False, "modules": modules, "files": rows}
        manifest = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
        ident = hashlib.sha256(manifest).hexdigest()[:16]
        signature = base64.b64encode(sign(manifest)).decode()
        wanted = json.dumps({"id": ident, "signature": signature}).encode()
        while True:
            said = json.loads(self.ask("deploy", wanted, timeout=30.0))
            if "refused" in said:
                raise Refused(said)
            if "manifest" in said:
                self.put(said["manifest"], manifest, parents=True)
            for number in said.get("missing", ()):
                self.put(f"{said['folder']}/{paths[number]}", files[paths[number]], parents=True)
            if "running" in said or "window_s" in said:
                break
        deadline = time.monotonic() + said.get("window_s", 0) + 10
        while True:
            status = self._status.get(timeout=max(0.1, deadline - time.monotonic())) or {}
            app = status.get("app", {})
            if app.get("id") == ident and app["state"] == "confirmed":
                return app
            if app.get("failed", {}).get("id") == ident:
                raise Refused(app["failed"])

    # Code

    def run(self, source, credit=None, **options):
        """Run code; yield its output, and as the last what came of it."""
        if credit is not None:
            options["credit"] = credit
        with self._command("exec", json.dumps(options).encode() + b"\n" + source.encode()) as out:
            ident = self._topic.rpartition("/")[2]
            parts = self._parts(out, 20.0)
            assert "boot_id" in json.loads(next(parts)[0])
            total = 0
            for part, last in parts:
                total += len(part)
                if credit is not None and not last:
                    topic = f"{self.prefix}/mqb/cmd/credit/{ident}"
                    self._send(topic, 0, True, b"%d" % (total + credit))
                yield json.loads(part) if last else part


def pieces(body):
    """Cut a body into messages: (number, whether it is the last, bytes), with room for a tag."""
    size = PAYLOAD - HEADER - 28
    cuts = range(0, len(body), size) or [0]
    for number, start in enumerate(cuts):
        yield number, start + size >= len(body), body[start : start + size]


def block_messages(image, base, needed):
    """Yield messages with the blocks that are needed, up to eight in each."""
    message, records = b"", 0
    for number in needed:
        block = image[number * BLOCK : (number + 1) * BLOCK].ljust(BLOCK, b"\xff")
        same = base[number * BLOCK : (number + 1) * BLOCK]
        if len(same) == BLOCK:
            encoding, data = DELTA, b"\1" + deflated(instructions(block, same))
        else:
            encoding, data = DEFLATE, deflated(block)
        record = struct.pack(">HBH", number, encoding, len(data)) + data
        if records == RECORDS or len(message) + len(record) > PAYLOAD:
            yield message
            message, records = b"", 0
        message += record
        records += 1
    if message:
        yield message


def deflated(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -10)
    packed = packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert packed.endswith(b"\x00\x00\xff\xff")
    return packed[:-4]


def instructions(block, same):
    """Make `block` out of what stands at its place in the base: copied, patched, or literally."""
    made = b""
    for start in range(0, BLOCK, CHUNK):
        new, old = block[start : start + CHUNK], same[start : start + CHUNK]
        changed = [at for at in range(CHUNK) if new[at] != old[at]]
        if len(changed) > 40 or any(abs(new[at] - old[at]) > 127 for at in changed):
            made += struct.pack(">HHi", CHUNK, LITERAL, 0) + new
            continue
        gaps = [at - before - 1 for before, at in zip([-1, *changed], changed, strict=False)]
        added = [new[at] - old[at] for at in changed]
        made += struct.pack(">HHi", CHUNK, len(changed), 0)
        made += bytes(gaps) + struct.pack(f"{len(added)}b", *added)
    return made
