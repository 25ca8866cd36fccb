"""Stands between mqtt_as.py and the client of MQTT 5: `mqttv5` of mqtt_as.

Properties are as mqtt_as has them: USER is a dict, of which a message may have several entries, and
an alias that an application gives a topic is known here, whatever becomes of the connection.
"""

from mqboard.mqtt5 import Client
from mqboard.mqtt5 import properties as props
from mqboard.mqtt_as_support import handler_of

_FOR_EVER = 0xFFFFFFFF


class OneHandler5(handler_of(Client)):
    """An mqboard.mqtt_as_support.OneHandler by MQTT 5; `deliver` gets the properties, too."""

    def __init__(self, settings, opener, deliver, clean, will, rx_size, log):
        given = dict(settings["mqttv5_con_props"] or {})
        if not clean:
            given.setdefault(props.SESSION_EXPIRY, _FOR_EVER)
        clean_start = clean or settings["clean_init"]
        settings["clean_init"] = False  # it takes no connection of its own
        self._topics = {}  # alias -> topic
        self._connect_properties = given
        super().__init__(settings, opener, self._hand_over, clean_start, will, rx_size, log)
        self._receiver = deliver
        self.everything.wants = True
        if clean:
            self._expiry = 0  # each connection begins anew, however long the broker keeps it

    def _ask(self, given):
        return super()._ask(self._connect_properties)

    @property
    def topic_alias_maximum(self):
        """The broker's."""
        return self.granted.get(props.TOPIC_ALIAS_MAXIMUM, 0)

    def _hand_over(self, topic, view, retained):
        self._receiver(topic, view, retained, _as_mqtt_as(self.properties))

    async def publish(self, topic, payload, qos, retain, timeout, properties):
        """Publish; an alias among the `properties` stands for the topic it came with before."""
        alias = (properties or {}).get(props.TOPIC_ALIAS)
        if alias is not None:
            properties = {key: properties[key] for key in properties if key != props.TOPIC_ALIAS}
            topic = self._topics[alias] = topic or self._topics.get(alias, "")
        return await super().publish(topic, payload, qos, retain, timeout, properties)

    async def subscribe(self, topic_filter, handler, qos, properties):
        """Subscribe; the `properties` are the SUBSCRIBE's own."""
        await super().subscribe(topic_filter, handler, qos, subscribe_properties=properties)


def _as_mqtt_as(found):
    """Return the properties of a message as mqtt_as has them; None where there are none."""
    if not found:
        return None
    found = dict(found)
    if props.USER in found:
        found[props.USER] = dict(found[props.USER])
    if props.SUBSCRIPTION_ID in found:
        found[props.SUBSCRIPTION_ID] = found[props.SUBSCRIPTION_ID][-1]
    return found


make = OneHandler5
