"""Connects by MQTT 5, or by 3.1.1 where the broker does not know it; follows it to other servers.

A broker that refuses MQTT 5 in words is asked by 3.1.1 at once; one that does not answer at all, or
not with what MQTT 5 has, the next time; and from then on, as long as that works. One that hangs up
twice may be about to restart: it is asked by 3.1.1 once.
"""

import asyncio

from micropython import const

from mqboard.clock import within
from mqboard.mqtt import packet as packet4
from mqboard.mqtt.connection import MqttError
from mqboard.mqtt5 import packet
from mqboard.mqtt5 import properties as props
from mqboard.mqtt5.packet import Refusal
from mqboard.mqtt5.properties import Fault
from mqboard.mqtt5.session import Session5

_ANSWER_S = const(15)
_HOPS = const(3)  # servers that we are sent to, one after the other
_HANG_UPS = const(2)  # at a CONNECT, until we ask by 3.1.1
_HANG_UPS_KNOWN = const(30)  # of one that has spoken MQTT 5: a quarter of an hour or more
_QOS2_MAX = const(256)  # see mqboard.mqtt.session
_FOR_EVER = const(0xFFFFFFFF)  # a session's expiry
_ALIASES = const(8)


class Connection5(Session5):
    """The base of mqboard.mqtt5.Client."""

    alias_maximum = _ALIASES  # of the broker's, towards us
    receive_maximum = _QOS2_MAX
    peer = None  # whose streams these are, where the opener has several brokers
    reason = ""  # the broker's words in what it acknowledges right now
    refusal = None
    expired = 0
    _server = ()  # where we were sent: (host, port)
    _moved = False  # for good
    _silent = 0  # times that the broker hung up at a CONNECT of MQTT 5
    _speaks = None  # (who has answered by MQTT 5,)
    _refuser = ()  # (peer,) that does not speak it
    _known = False  # this program has had a session
    _before = None  # the keepalive that the broker's is in place of

    def __init__(self, opener, client_id, *, properties=None, insist=False, **options):
        super().__init__(opener, client_id, **options)
        self._begin_session(4)
        self.client_id = client_id
        self.granted = {}
        self.outbox.refuse = self._note_refused
        self._will = options.get("will")
        self._clean = options.get("clean", True)
        self._told = options.get("keepalive", 60)
        self._insist = insist
        self._given = self._ask(properties)
        self._compose5()

    def _ask(self, given):
        """Return the CONNECT's properties, encoded: what is `given`, and what we need."""
        asked = dict(given or {})
        if not self._clean:
            asked.setdefault(props.SESSION_EXPIRY, _FOR_EVER)
        self._expiry = asked.get(props.SESSION_EXPIRY, 0)
        asked.setdefault(props.RECEIVE_MAXIMUM, _QOS2_MAX)
        asked.setdefault(props.TOPIC_ALIAS_MAXIMUM, _ALIASES)
        props.encode(asked, props.IN_CONNECT)  # as they were given: ValueError
        self.receive_maximum = min(asked[props.RECEIVE_MAXIMUM], _QOS2_MAX)
        asked[props.RECEIVE_MAXIMUM] = self.receive_maximum
        self.alias_maximum = asked[props.TOPIC_ALIAS_MAXIMUM]
        return props.encode(asked, props.IN_CONNECT)

    def _compose5(self):
        """Return the CONNECT packet."""
        will = self._will
        if will:
            given = props.encode(will[4] if len(will) > 4 else None, props.IN_WILL)
            will = (will[0].encode(), will[1], will[2], will[3], given)
        password = self.password
        return packet.connect(
            self.client_id.encode(),
            self._told,
            self._starts_clean(),
            self._given,
            will,
            None if self.user is None else self.user.encode(),
            password.encode() if isinstance(password, str) else password,
        )

    def _starts_clean(self):
        return self._clean and not (self._expiry and self._known)

    async def _connect(self):
        if self._before is not None:
            self.keepalive = self._before
            self._before = None
        # A broker that restarts hangs up, too; 3.1.1 would end the session that it has kept.
        most = _HANG_UPS_KNOWN if self._speaks == (self.peer,) else _HANG_UPS
        if self._silent >= most and not self._insist:
            refuser = (self.peer,) if self._silent > _HANG_UPS else ()
            self._silent = 0
            return await self._connect_old(None, refuser)
        hops = 0
        while hops <= _HOPS:
            server = self._server
            if not self._moved:
                self._server = ()
            try:
                stream = await self._opener(*server)
            except BaseException:
                self._forget_server()
                raise
            if self._refuser == (self.peer,) and not server:
                return await self._connect_old(stream, self._refuser)
            self._begin(5, stream)
            afresh = self._starts_clean()
            code, found = await self._ask_server()
            if not code:
                self._take_grants(found)
                await self._check_will(found)
                if afresh == self._starts_clean():
                    return None
                # mosquitto 2.0 forgets when it restarts what began with a Clean Start.
                await self._begin_again(server)
                continue
            self.writer.detach()
            if await self._refused_at(code, found):
                return None
            hops += 1
        self._forget_server()
        raise MqttError("sent on from server to server")

    async def _begin_again(self, server):
        """End the connection, with a session that is ours now, in favour of one that goes on."""
        await self.writer.send(bytes((packet4.DISCONNECT, 0)))
        self.writer.detach()
        self._server = server

    def _begin(self, level, stream):
        self._lost = False
        self._lost_why = None
        self._begin_session(level)
        self.outbox.begin(level, {})
        if stream:
            self.reader.attach(stream)

    async def _ask_server(self):
        """Send the CONNECT; return (reason code, properties) of the answer."""
        try:
            self.session_present, code, found = await within(_ANSWER_S, self._introduce5())
        except Exception as error:
            self._forget_server()
            # A time-out is an OSError on CPython.
            if isinstance(error, (asyncio.TimeoutError, packet4.PacketError)):
                self._silent = max(self._silent, _HANG_UPS) + 1
            elif isinstance(error, (EOFError, OSError)):
                self._silent += 1
            raise
        self._silent = 0
        if not code:
            self._speaks = (self.peer,)
        return code, found

    async def _introduce5(self):
        await self.writer.send(self._compose5())
        body, stop = await self.reader.read_first()
        return packet.read_connack(self.reader.buffer, body, stop)

    async def _refused_at(self, code, found):
        """Do what is to be done about a refused CONNECT; return whether there is a connection by
        3.1.1 now. Raises Refusal."""
        old = code in (packet.UNSUPPORTED_VERSION, packet.OLD_UNSUPPORTED_VERSION)
        if old and not self._insist:
            if self._log:
                self._log.info("the broker does not speak MQTT 5: on with 3.1.1")
            await self._connect_old(None, (self.peer,))
            return True
        if self._send_on(code, found):
            return False
        self._forget_server()
        raise Refusal("refused", code, found.get(props.REASON_STRING, ""))

    async def _connect_old(self, stream=None, refuser=()):
        """Connect by 3.1.1, over `stream` if there is one, to whom does not speak MQTT 5."""
        self._begin(4, None)
        self.granted = {}
        self._refuser = ()
        opener = self._opener
        if stream:
            self._opener = _giving(stream)
        try:
            await super()._connect()
        finally:
            self._opener = opener
        self._refuser = refuser

    def _take_grants(self, found):
        """Note what the broker grants (3.2.2.3)."""
        if self.session_present and self._starts_clean():
            fault = Fault(props.PROTOCOL_ERROR, "a session where none was wanted")
            self._lose(fault)
            raise fault
        self.granted = found
        self._known = True
        self.outbox.begin(5, found)
        self.client_id = found.get(props.ASSIGNED_CLIENT_ID, self.client_id)
        longest = found.get(props.SERVER_KEEP_ALIVE, 0)
        if longest and not 0 < self.keepalive <= longest:
            self._before = self.keepalive
            self.keepalive = longest

    async def _check_will(self, found):
        """Raise Refusal if the broker took a will that it cannot keep. By the standard it has to
        refuse the CONNECT (MQTT-3.2.2-12, -13): a board without its retained status would be
        connected, and found by nobody.
        """
        will, code = self._will, 0
        if will and will[3] and not found.get(props.RETAIN_AVAILABLE, 1):
            code = packet.RETAIN_UNSUPPORTED
        elif will and will[2] > found.get(props.MAXIMUM_QOS, 2):
            code = packet.QOS_UNSUPPORTED
        if code:
            self._forget_server()
            await self.writer.send(bytes((packet4.DISCONNECT, 0)))
            raise Refusal("the broker takes our will, and cannot keep it", code)

    # Other servers (4.13).

    def _send_on(self, code, found):
        """Note the server that the broker sends us to; return whether it named one."""
        if code not in (packet.USE_ANOTHER_SERVER, packet.SERVER_MOVED):
            return False
        server = packet.read_server(found.get(props.SERVER_REFERENCE, ""))
        if server:
            self._server = server
            self._moved = code == packet.SERVER_MOVED
            if self._log:
                self._log.info("the broker sends us to %s", server[0])
        return server is not None

    def _forget_server(self):
        self._server = ()
        self._moved = False

    def _take_disconnect(self, code, found):
        self._send_on(code, found)
        error = Refusal("broker hung up", code, found.get(props.REASON_STRING, ""))
        if code not in packet.NOT_OURS:
            self._hung_up()  # at what is on its way, maybe
        self._lose(error)

    def _lose(self, why):
        if isinstance(why, Fault) and self.level == 5 and not self._lost:
            try:
                self.writer.send_soon(bytes((packet4.DISCONNECT, 1, why.code)))
            except OSError:
                pass
        super()._lose(why)

    def _note_refused(self, code, head, payload, quiet=False):
        """Count and log a message that the broker does not take, or that is too old by now.

        `quiet`: no line of the log, which may be such a message itself.
        """
        topic = str(head[2:], "utf-8")
        if not code:
            self.expired += 1
            if self._log:
                self._log.info("a message to %s expired before there was a connection", topic)
            return
        self.refused += 1
        what = "broker does not take a message of %d bytes to %s" % (len(payload), topic)
        self.refusal = Refusal(what, code, self.reason)
        if self._log and not quiet:
            self._log.error("%s", self.refusal)


def _giving(stream):
    async def opener():
        return stream

    return opener
