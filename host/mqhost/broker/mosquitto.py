"""Writes mosquitto.conf: the listeners, who gets in, and limits that fit what boards do.

Options and what they mean: mosquitto.conf(5) of mosquitto 2.0. Paths are absolute, for mosquitto
takes others from wherever it was started.
"""

from mqhost.broker.access import CERTIFICATE, PASSWORD, PSK, Access, Site
from mqwire import MAX_PAYLOAD

# What the broker needs, and how it is called in its folder.
CONF, ACL, PASSWORDS, KEYS = "mosquitto.conf", "acl", "passwords", "keys"
CA, SERVER_PEM, REVOKED = "ca.pem", "server.pem", "revoked.pem"

PACKET_LIMIT = 65536
_QUEUED = 20_000

_HEAD = """\
# mosquitto 2.0 or newer, for boards of MQBoard. Made by mqboard broker-config: do not edit it, your
# own lines belong into the file that it reads (extra = ["…"]).

# Nobody gets in without a certificate of our CA, a password or a key, and only to what acl says.
per_listener_settings false
allow_anonymous false
acl_file {folder}/{acl}
"""

_LIMITS = """
# The statuses of boards are retained messages: they outlive a restart of the broker, and are on
# disk after five minutes.
persistence true
persistence_location {data}/
autosave_interval 300

# Commands and replies have up to {payload:,} B. This leaves room for what modules publish, and none
# for a client that would fill the memory: whoever sends more is disconnected.
max_packet_size {packet}
# A board takes what comes as fast as it can, and TCP holds back the rest: twenty messages on their
# way use a slow line well, and none is lost.
max_inflight_messages 20
# Who follows all boards is sent all their statuses at once; at QoS 1, as some tools ask for them,
# mosquitto would drop what is beyond 1,000.
max_queued_messages {queued}
# Boards and mqboard begin with clean sessions. Those of other clients are kept for so long.
persistent_client_expiration 14d
# A line typed at a prompt is not held back to be joined with the next.
set_tcp_nodelay true

# To its standard error, which systemd and containers keep. With log_type debug it also says whom
# it denied what.
log_dest stderr
log_type error
log_type warning
log_type notice
log_type information
connection_messages true
log_timestamp_format %Y-%m-%dT%H:%M:%S
"""

_CERTIFICATES = """
# Those with a certificate of our CA. Its common name is the user name, whatever else they say.
listener {port}{bind}
{tls}
cafile {folder}/{ca}
crlfile {folder}/{revoked}
require_certificate true
use_identity_as_username true
"""

_PASSWORDS = """
# Those with a password.
listener {port}{bind}
{tls}
"""

# The first cipher keeps what was recorded a secret if a key gets known later.
_KEYS = """
# Boards with a pre-shared key. Its identity is the user name, whatever else they say.
listener {port}{bind}
psk_hint mqboard
ciphers ECDHE-PSK-AES128-CBC-SHA256:PSK-AES128-GCM-SHA256
tls_version tlsv1.2
use_identity_as_username true
"""

_WEBSOCKETS = """
# MQTT over WebSockets, for those with a password: mosquitto asks for no certificates here.
listener {port}{bind}
protocol websockets
{tls}
"""


def configuration(access: Access, folder: str) -> str:
    """Return the text of mosquitto.conf for a broker whose files are in `folder`."""
    site = access.site
    logins = {user.login for user in access.users}
    values = {
        "folder": folder,
        "acl": ACL,
        "ca": CA,
        "revoked": REVOKED,
        "bind": f" {site.bind}" if site.bind else "",
        "tls": _tls(site, folder),
    }
    text = _HEAD.format(**values)
    if PASSWORD in logins:
        text += f"password_file {folder}/{PASSWORDS}\n"
    if PSK in logins:
        text += f"psk_file {folder}/{KEYS}\n"
    text += _LIMITS.format(
        data=site.data.rstrip("/"), payload=MAX_PAYLOAD, packet=PACKET_LIMIT, queued=_QUEUED
    )
    if CERTIFICATE in logins or not logins:
        text += _CERTIFICATES.format(port=site.port, **values)
    if PASSWORD in logins:
        text += _PASSWORDS.format(port=site.password_port, **values)
    if PSK in logins:
        text += _KEYS.format(port=site.psk_port, **values)
    if site.websocket_port:
        text += _WEBSOCKETS.format(port=site.websocket_port, **values)
    if site.extra:
        text += "\n# From extra.\n" + "".join(f"{line}\n" for line in site.extra)
    return text


def _tls(site: Site, folder: str) -> str:
    """Return the lines by which a listener has the broker's certificate."""
    own = f"{folder}/{SERVER_PEM}"
    lines = [
        f"certfile {site.server_cert or own}",
        f"keyfile {site.server_key or own}",
        "tls_version tlsv1.2",
    ]
    return "\n".join(lines)
