"""Plays a board with paho-mqtt: a reference for the wire contract, with faults on request.

`FakeBoard` answers `eval`, `info` and `update` as docs/protocol.md says: it decodes blocks, checks
their hashes, writes them into its slot, reads the whole back, restarts, and confirms. One worker
thread does everything in the order of arrival. The attributes under "faults" make it misbehave.
"""

import ast
import base64
import contextlib
import functools
import hashlib
import io
import json
import queue
import socket
import struct
import threading
import time
import traceback
import zlib

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

import mqwire
from mqwire import secrets
from mqwire import update as wire

PART = mqwire.MAX_PAYLOAD - mqwire.HEADER_SIZE


_PRINTING = threading.Lock()


@contextlib.contextmanager
def printed_to(output):
    """Have what is printed go to `output`: for one board at a time, since all share sys.stdout."""
    with _PRINTING, contextlib.redirect_stdout(output):
        yield


class FakeBoard:
    """A board on `port` with the topic root `prefix`; runs while the `with` block does."""

    def __init__(self, port, prefix="esp32/test", *, image=b"old image", version="0.1.0"):
        self.port = port
        self.prefix = prefix
        self.image = image
        self.facts = {
            "protocol": 2,  # it knows no broadcasts
            "board": "sim",
            "mcu": "esp32",
            "version": version,
            "commit": "abc1234",
            "slot": "ota_0",
            "slot_state": "valid",
            "mode": "normal",
            "reset_cause": "power-on",
            "failed": None,
        }
        self.boots = 0
        self.slot = bytearray(b"\xff" * (64 * wire.BLOCK_SIZE))  # the inactive one
        self.credit = 4
        self.report_every = 1
        self.requests = []  # (command, id) of every command executed
        self.block_messages = 0  # received since the start
        self.writes = []  # block numbers in the order of writing
        self.evaluations = 0
        self.granted = []  # (id, bytes) of every credit for the output of code
        self.options = {}  # of the last update request
        # Faults.
        self.silent = set()  # commands that get no answer
        self.unknown_commands = set()  # of firmware that is older
        self.on_block = None  # called with (number of the message, payload); returns payloads
        self.answer = None  # called with (command, body): replaces the answer by [(topic, bytes)]
        self.refuse = None  # update code to answer an offer with
        self.lose_installed = False
        self.takes_deltas = True
        self.takes_topic = lambda topic: True  # for blocks
        self.verify = True
        self.outcome = "confirmed"  # or "rolled back", "never back", "never confirmed"
        self.old = None
        # What `config` shows and changes, with secrets; `last` is of the command that did it.
        self.config = {"prefix": prefix, "networks": [{"ssid": "n"}]}
        self.config["broker"] = {"host": "h", "tls": False, "user": "u", "password": "s3cret"}
        self.previous = None  # the configuration before this one
        self.last = None
        self.settles_after = 0  # so many answers
        self.refused = ""  # why a configuration is
        self.unknown = []  # keys of one
        self.tail = ""  # of the command
        self._update = None
        self._recent = {}
        self._work = queue.SimpleQueue()
        self._up = threading.Event()
        self._client = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.power_on()
        self._thread.start()
        assert self._up.wait(10), "the fake board did not reach the broker"
        return self

    def __exit__(self, *_):
        self._work.put(None)
        self._thread.join(10)
        self.power_off()

    # Power and connection

    def power_on(self):
        """Boot and connect."""
        self.boots += 1
        self._update = None
        self._up.clear()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"fake-{self.prefix}")
        client.reconnect_delay_set(0.1, 0.5)
        client.will_set(self._status_topic, json.dumps({"state": mqwire.OFFLINE}), 1, True)
        client.on_socket_open = lambda _, __, stream: stream.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._up.set()
        client.on_message = lambda _, __, message: self._work.put(
            (message.topic, message.payload, message.retain)
        )
        client.connect_async("127.0.0.1", self.port, 10)  # and again, until a broker is there
        self._client = client  # before commands come, which are lost on one without power
        client.loop_start()

    def power_off(self, will=True):
        """Vanish; the broker publishes the will."""
        client, self._client = self._client, None
        if client is None:
            return
        if will:
            client.publish(self._status_topic, json.dumps({"state": mqwire.OFFLINE}), 1, True)
        client.disconnect()
        client.loop_stop()

    def power_cycle(self):
        """Power off and on again: what was in RAM is lost, flash stays."""
        self.power_off()
        self.power_on()
        assert self._up.wait(10)

    @property
    def _status_topic(self):
        return mqwire.status_topic(self.prefix)

    @property
    def boot_id(self):
        return f"boot-{self.boots}"

    def status(self):
        return self.facts | {
            "state": mqwire.ONLINE,
            "image": hashlib.sha256(self.image).hexdigest(),
            "boot_id": self.boot_id,
        }

    def announce(self):
        """Publish the birth message."""
        self._client.publish(self._status_topic, json.dumps(self.status()), 1, True)

    def fall_asleep(self, **facts):
        """Say that it sleeps, for 5 s; it still hears, so that what is sent is seen."""
        now = int(time.time())
        said = {"state": mqwire.ASLEEP, "sleeps_s": 5, "at": now, "until": now + 5} | facts
        text = json.dumps(self.status() | said)
        self._client.publish(self._status_topic, text, 1, True).wait_for_publish(5)

    def _on_connect(self, client, *_):
        topics = [mqwire.command_filter(self.prefix)]
        if self._update:
            topics.append(self._update["topic"])
        client.subscribe([(topic, 1) for topic in topics])
        # In the board's order: who hears of its birth can give it commands.
        client.publish(self._status_topic, json.dumps(self.status()), 1, True)

    # Work

    def _run(self):
        while (item := self._work.get()) is not None:
            topic, payload, retained = item
            if self._client is None:
                continue
            if self._update and topic == self._update["topic"]:
                self._take_message(payload)
            elif not retained:
                self._command(topic, payload)

    def _command(self, topic, payload):
        parsed = mqwire.parse_command_topic(self.prefix, topic)
        if parsed is None:
            return
        command, ident, self.tail = parsed
        if command == "credit":
            self.granted.append((ident, int(payload[2:])))
            return
        if ident in self._recent and self._recent[ident] is not None:
            self._send(*self._recent[ident])
            return
        body, expected = self._recent.setdefault("parts " + ident, (bytearray(), 0))
        seq, last = mqwire.parse_header(payload)
        if seq != expected:
            return
        body += payload[2:]
        self._recent["parts " + ident] = (body, expected + 1)
        if not last:
            return
        self.requests.append((command, ident))
        if command in self.silent:
            return
        if self.answer:
            for reply in self.answer(command, ident, bytes(body)):
                self._send(*reply)
            return
        handler = getattr(self, "_do_" + command, None)
        if handler and command not in self.unknown_commands:
            handler(ident, bytes(body))
        else:
            self.error(ident, f"Command '{command}' not supported")

    def _do_info(self, ident, body):
        self.reply(
            ident, json.dumps(self.status() | {"heap_free": 100_000, "uptime_s": 5}).encode()
        )

    def _do_eval(self, ident, body):
        self.evaluations += 1
        output = io.StringIO()
        try:
            with printed_to(output):
                try:
                    value = eval(body, {})
                except SyntaxError:
                    exec(body, {})
                else:
                    if value is not None or not output.getvalue():
                        print(repr(value), end="")
        except Exception:
            self.error(ident, traceback.format_exc())
        else:
            self.reply(ident, output.getvalue().encode())

    def _do_exec(self, ident, body):
        """Run code at once: code that awaits is no code for this board."""
        self.evaluations += 1
        head, _, source = body.decode().partition("\n")
        options = json.loads(head)
        output = io.StringIO()
        told = {}
        with printed_to(output):
            try:
                tree = ast.parse(source, options["file"])
                last = tree.body and isinstance(tree.body[-1], ast.Expr) and tree.body.pop()
                names = {"__name__": "__main__", "argv": options.get("argv")}
                exec(compile(tree, options["file"], "exec"), names)
                if last:
                    value = eval(compile(ast.Expression(last.value), "<stdin>", "eval"), names)
                    if value is not None and options["show"]:
                        print(repr(value))
            except SystemExit as left:
                told["exit"] = left.code
            except Exception:
                told["error"] = traceback.format_exc()
        for topic, payload in executed(self, ident, output.getvalue().encode(), told):
            self._send(topic, payload)

    def _do_reset(self, ident, body):
        """Restart, in the mode that is asked for; "outcome" as of an update."""
        self.reply(ident, b"OK")
        self.power_off()
        if self.outcome == "never back":
            return
        if body and self.outcome == "confirmed":
            self.facts["mode"] = body.decode()
        self.facts["reset_cause"] = "reset"
        self.power_on()
        assert self._up.wait(10)

    def _do_config(self, ident, body):
        """Show the configuration, or change it and restart; "outcome" as of an update."""
        wish, _, more = self.tail.partition("/")
        if wish == "get":
            self.reply(ident, json.dumps(self._shown(more)).encode())
            return
        if wish == "previous":
            told = {"refused": "there is no configuration before this one"}
            if self.previous:
                told = self._masked(self.previous, more)
            self.reply(ident, json.dumps(told).encode())
            return
        if self.refused or more != self.boot_id:
            self.reply(ident, json.dumps({"refused": self.refused or "restarted"}).encode())
            return
        told = {"id": ident, "window_s": 0.1, "unknown": self.unknown}
        self.reply(ident, json.dumps(told).encode())
        self.power_off()
        if self.outcome == "never back":
            return
        if self.outcome == "confirmed":
            dumps = functools.partial(json.dumps, ensure_ascii=False)
            if wish == "revert":
                new = self.previous
            else:
                new = json.loads(secrets.fill_in(body.decode(), self.config, dumps))
            self.config, self.previous = new, self.config
            self.last = ident
            self.prefix = self.config["prefix"]
        elif self.outcome == "rolled back":
            failed = {"id": ident, "state": "failed", "code": 48, "reason": "it did not"}
            self.facts["config"] = failed
        self.power_on()
        assert self._up.wait(10)

    def _shown(self, nonce):
        self.settles_after -= 1
        told = {"boot_id": self.boot_id, "file": "same", "revert": bool(self.previous)}
        told |= {"last": self.last, "settled": self.settles_after < 0}
        return told | self._masked(self.config, nonce)

    def _masked(self, config, nonce):
        record = json.loads(json.dumps(config))
        digests = {
            path: secrets.digest(hashlib.sha256, nonce, path, container[key])
            for container, key, path in secrets.find(record)
        }
        secrets.mask(record)
        return {"config": record, "digests": digests}

    def reply(self, ident, data):
        """Answer in as many messages as it takes."""
        parts = [data[start : start + PART] for start in range(0, len(data), PART)] or [b""]
        for seq, part in enumerate(parts):
            last = seq == len(parts) - 1
            self._answer(
                ident, mqwire.reply_topic(self.prefix, ident), mqwire.header(seq, last) + part
            )

    def error(self, ident, text):
        self._answer(ident, mqwire.error_topic(self.prefix, ident), text.encode())

    def _answer(self, ident, topic, payload):
        self._recent[ident] = (topic, payload)
        self._send(topic, payload)

    def _send(self, topic, payload, qos=1):
        if self._client is not None:
            self._client.publish(topic, payload, qos)

    # Update

    def _do_update(self, ident, body):
        data, _, options = wire.unpack_request(body)
        offer = json.loads(bytes(data))
        self.options = json.loads(bytes(options))
        topic = self.options["topic"]
        if self._update:
            self._client.unsubscribe(self._update["topic"])
            self._update = None
        code = self.refuse if self.refuse is not None else self._judge(offer)
        if code is not None:
            self._finish(ident, code, b"because")
            return
        hashes = base64.b64decode(offer["blocks"])
        count = len(hashes) // wire.HASH_SIZE
        needed = bytearray(-(-count // 8))
        update = {
            "ident": ident,
            "offer": offer,
            "hashes": hashes,
            "topic": topic,
            "needed": needed,
            "received": 0,
            "unreported": 0,
            "seq": 0,
            "count": count,
        }
        for number in range(count):
            start = number * wire.BLOCK_SIZE
            if not _is(update, number, self.slot[start : start + wire.BLOCK_SIZE]):
                wire.bitmap_put(needed, number, True)
        self._update = update
        self._client.subscribe(topic, 0)
        if any(needed):
            self._report()
        else:
            self._complete()

    def _judge(self, offer):
        if not self.takes_topic(self.options["topic"]):
            return wire.MALFORMED
        if offer["board"] != self.facts["board"]:
            return wire.WRONG_BOARD
        if offer["mcu"] != self.facts["mcu"]:
            return wire.WRONG_MCU
        if offer["sha256"] == hashlib.sha256(self.image).hexdigest():
            return wire.ALREADY_RUNNING
        if self.options.get("base") not in (None, hashlib.sha256(self.image).hexdigest()):
            return wire.WRONG_BASE
        if offer["size"] > len(self.slot):
            return wire.TOO_LARGE
        return None

    def _take_message(self, payload):
        self.block_messages += 1
        payloads = [payload]
        if self.on_block:
            payloads = self.on_block(self.block_messages, payload)
        for message in payloads:
            if self._update:
                self._take_blocks(message)

    def _take_blocks(self, message):
        update = self._update
        assert len(message) <= mqwire.MAX_PAYLOAD
        update["received"] += 1
        update["unreported"] += 1
        position = 0
        while position < len(message):
            number, encoding, start, position = wire.unpack_record(message, position)
            if encoding == wire.DELTA and not self.takes_deltas:
                continue
            try:
                data = decode(number, encoding, message[start:position], self.image)
            except (ValueError, zlib.error):
                continue
            for count in range(len(data) // wire.BLOCK_SIZE):
                begin = count * wire.BLOCK_SIZE
                self._take_block(update, number + count, data[begin : begin + wire.BLOCK_SIZE])
        if not any(update["needed"]):
            self._complete()
        elif update["unreported"] >= self.report_every:
            self._report()

    def _take_block(self, update, number, block):
        if wire.bitmap_get(update["needed"], number) and _is(update, number, block):
            begin = number * wire.BLOCK_SIZE
            self.slot[begin : begin + wire.BLOCK_SIZE] = block
            self.writes.append(number)
            wire.bitmap_put(update["needed"], number, False)

    def _report(self):
        update = self._update
        update["unreported"] = 0
        body = wire.pack_reply(
            wire.RECEIVING, self.credit, update["received"], bytes(update["needed"])
        )
        self._send(
            mqwire.reply_topic(self.prefix, update["ident"]),
            mqwire.header(update["seq"], False) + body,
            0,
        )
        update["seq"] += 1

    def _complete(self):
        update, self._update = self._update, None
        offer = update["offer"]
        image = bytes(self.slot[: offer["size"]])
        self._client.unsubscribe(update["topic"])
        if hashlib.sha256(image).hexdigest() != offer["sha256"]:
            self._finish(update["ident"], wire.IMAGE_HASH, b"")
            return
        if not self.lose_installed:
            self._finish(update["ident"], wire.INSTALLED, b"")
        self._restart(image, offer)

    def _finish(self, ident, code, detail):
        self._answer(
            ident,
            mqwire.reply_topic(self.prefix, ident),
            mqwire.header(0, True) + wire.pack_reply(code, 0, 0, detail),
        )

    def _restart(self, image, offer):
        """Do what the bootloader and the new firmware do, as `outcome` says."""
        self.power_off()
        old_image, old_facts = self.image, dict(self.facts)
        if self.outcome == "never back":
            return
        if self.outcome == "rolled back":
            self.facts["failed"] = {
                "image": offer["sha256"],
                "version": offer["version"],
                "code": wire.CRASH,
                "reason": "it crashed",
            }
        else:
            self.slot[: len(old_image)] = old_image
            self.image = image
            self.facts |= {
                "version": offer["version"],
                "slot_state": "pending",
                "slot": "ota_1" if old_facts["slot"] == "ota_0" else "ota_0",
            }
        self.power_on()
        assert self._up.wait(10)
        if self.outcome == "confirmed":
            self.facts["slot_state"] = "valid"
            self.announce()


def executed(board, ident, output, told):
    """Yield the messages with which `board` answers an `exec`: (topic, payload)."""
    begun = json.dumps({"boot_id": board.boot_id}).encode()
    chunks = [output[start : start + 1400] for start in range(0, len(output), 1400)]
    parts = [begun, *chunks, json.dumps(told).encode()]
    for number, part in enumerate(parts):
        header = mqwire.header(number, number == len(parts) - 1)
        yield mqwire.reply_topic(board.prefix, ident), header + part


def decode(number, encoding, data, base):
    """Return the blocks of a record, one behind the other; `base` is what runs."""
    if encoding == wire.RAW:
        return data
    if encoding == wire.DEFLATE:
        return zlib.decompressobj(-wire.WINDOW_BITS).decompress(data)
    assert encoding == wire.DELTA
    stream = zlib.decompressobj(-wire.WINDOW_BITS).decompress(data[wire.DELTA_HEADER :])
    made = bytearray()
    position = 0
    while position < len(stream):
        head = stream[position : position + wire.INSTRUCTION_SIZE]
        position += wire.INSTRUCTION_SIZE
        length, patches, distance = wire.unpack_instruction(head)
        if patches == wire.LITERAL:
            made += stream[position : position + length]
            position += length
            continue
        source = number * wire.BLOCK_SIZE + len(made) + distance
        part = bytearray(base[source : source + length])
        index = 0
        while patches:
            count = min(patches, wire.BATCH)
            patches -= count
            gaps = stream[position : position + count]
            added = struct.unpack_from(f"{count}b", stream, position + count)
            position += 2 * count
            for gap, more in zip(gaps, added, strict=True):
                index += gap
                rest = part[index:]
                total = int.from_bytes(rest, "little") + more
                part[index:] = (total % (1 << 8 * len(rest))).to_bytes(len(rest), "little")
                index += 1
        made += part
    assert len(made) == wire.blocks_in(encoding, data) * wire.BLOCK_SIZE
    return bytes(made)


def _is(update, number, block):
    digest = hashlib.sha256(block).digest()[: wire.HASH_SIZE]
    start = number * wire.HASH_SIZE
    return len(block) == wire.BLOCK_SIZE and digest == update["hashes"][start : start + 4]
