# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# The gateway, which brings MQTT to nodes over ESP-NOW (docs/gateway.md), for firmware whose boards
# are to be one: beside base.py or esp32.py, in the manifest of a board. Nothing of it is loaded
# before the configuration names the module `mqgateway`. The rest of that folder is the nodes'.
freeze("../frozen/gateway", "mqpipe.py")
package("mqgateway", base_path="../frozen/gateway")
