# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# The MQTT client alone, for firmware of one's own (docs/client.md): asyncio, and nothing else of
# ours. From another manifest: include("/path/to/mqboard/manifest/client.py")
include("$(MPY_DIR)/extmod/asyncio")
package(
    "mqboard",
    (
        "__init__.py",
        "clock.py",
        "mqtt/__init__.py",
        "mqtt/client.py",
        "mqtt/connection.py",
        "mqtt/inbox.py",
        "mqtt/outbox.py",
        "mqtt/packet.py",
        "mqtt/reader.py",
        "mqtt/session.py",
        "mqtt/window.py",
        "mqtt/writer.py",
        "net/__init__.py",
        "net/dns.py",
        "net/stream.py",
        "net/tls.py",
    ),
    base_path="../frozen",
)
