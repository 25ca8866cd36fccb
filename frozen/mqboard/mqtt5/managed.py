"""Makes the client of a managed board one of MQTT 5, as its configuration says."""

from mqboard.mqtt5.client import Client
from mqboard.mqtt5.properties import SESSION_EXPIRY, TOPIC_ALIAS_MAXIMUM


def protocol(settings):
    """Return (the class of the client, its further options) for `settings`, a configuration."""
    # Commands come on topics of their own: aliases for them would be memory for nothing.
    given = {TOPIC_ALIAS_MAXIMUM: 0, SESSION_EXPIRY: settings.session_s}
    return Client, {"properties": given, "insist": settings.version == "5"}
