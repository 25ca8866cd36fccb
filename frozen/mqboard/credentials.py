"""Loads the broker's CA, our certificate and its key from files, or in their place the copies that
mqboard.copies keeps in NVS, when a file cannot be read or has no certificate in it.
"""

from mqboard import net
from mqboard.log import Logger

_NAMES = ("ca", "cert", "key")  # attributes of the configuration


def opener(broker, settings, link, clock):
    """Return the opener for `broker`, one of those in `settings`: see mqboard.net.opener."""
    if not broker.tls:
        return net.opener(link, broker.host, broker.port)
    if broker.psk:
        from mqboard.net import psk  # only a board with such a key needs it

        return psk.opener(link, broker.host, broker.port, broker.psk["identity"], broker.psk["key"])
    make_context = loader(broker, Logger("tls"))
    opens = net.opener(link, broker.host, broker.port, make_context, broker.server_name)
    return setting_clock(opens, clock, settings.ntp, link)


def opener_maker(*arguments):
    """Return a function that makes the opener of these `arguments`."""
    return lambda: opener(*arguments)


def loader(settings, log):
    """Return the function that makes the SSLContext, for mqboard.net.opener."""

    def make_context():
        from mqboard.net import tls  # only a board with TLS needs it

        sources = [getattr(settings, name) for name in _NAMES]
        settings.copies = False  # whether these are what we reach the broker with
        try:
            return tls.make_context(*sources, verify=settings.verify)
        except OSError as error:
            if settings.trial:  # it is to prove itself, not its copies
                raise
            from mqboard import copies  # see mqboard.seldom

            kept = copies.sources(settings)
            if kept == sources or not any(kept):
                raise
            log.error("%s; using what was kept", error)
            settings.copies = True
            return tls.make_context(*kept, verify=settings.verify)

    return make_context


def setting_clock(opens, clock, server, link):
    """Return an opener like `opens`, for which the clock is set when a wrong one was to blame.

    See mqboard.timesync.doubt.
    """
    from mqboard.net.tls import ValidityError

    async def open_and_ask(*server):
        try:
            return await opens(*server)
        except ValidityError:
            from mqboard.timesync import doubt

            await doubt(clock, server, link)
            raise

    return open_and_ask
