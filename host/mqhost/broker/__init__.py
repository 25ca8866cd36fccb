"""Configures the MQTT broker mosquitto, so that each board has its own topics and nobody else's.

A file that lists boards and operators goes in; a folder comes out, with what the broker, each board
and each operator need: configuration, certificates, passwords, access rules. The same folder goes
in again with the next change of the file: what was given out stays valid, what is gone is shut out.
"""
