# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# MQTT 5 (docs/mqtt5.md), for firmware whose boards are to speak it: beside base.py or client.py, in
# the manifest of a board.
package("mqboard/mqtt5", base_path="../frozen")
