"""Speaks MQTT 5 as a client: what mqboard.mqtt does, and properties, reasons and limits with it.

`Client` is mqboard.mqtt's with more; where the broker knows only MQTT 3.1.1 it speaks that.
`properties`, `packet` and `reasons` are what is on the wire, the others are named after the modules
of mqboard.mqtt that they add to. Firmware has this package where its manifest includes mqtt5.py.
"""

from mqboard.mqtt5.client import Client as Client
from mqboard.mqtt5.packet import Refusal as Refusal
