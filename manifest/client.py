# ruff: noqa: F821 (the functions of a manifest come from MicroPython's manifest reader)
# The MQTT client alone, for firmware of one's own (docs/client.md): asyncio, and nothing else of
# ours. From another manifest: include("/path/to/mqboard/manifest/client.py")
include("$(MPY_DIR)/extmod/asyncio")
package(
    "mqboard",
    (
        "__init__.py",
        "clock.py",
        "dns.py",
        "framing.py",
        "inbox.py",
        "lazy.py",
        "mqtt.py",
        "net.py",
        "packet.py",
        "session.py",
        "tls.py",
        "window.py",
    ),
    base_path="../frozen",
)
