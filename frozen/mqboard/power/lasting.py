"""Knows what of a board goes on over its sleep: its address, the channel it was on, its clock."""

from micropython import const

_LEASE_S = const(3600)  # an address is used again without asking; many leases are of an hour
_ASK_S = const(6 * 3600)  # for the time, at the latest (mqboard.timesync)
_SOON_S = const(60)


def keep(board, kept, proper):
    """Put it into `kept`, the record of a sleep; `proper`: it begins with a goodbye."""
    clock, link, now = board.clock, board.link, board.clock.now()
    due_in = _SOON_S if clock.busy else clock.due_in  # nobody waits for the answer any more
    kept["clock"] = (clock.trusted and clock.source, now + due_in, clock.pause)
    if proper:
        kept["lease"] = getattr(link, "lease", None) or _lease(link, now)
    kept["aim"] = _aim(link) or getattr(link, "aim", None)


def take_up(board, woke):
    """Take it out of `woke` again."""
    clock, link, now = board.clock, board.link, board.clock.now()
    source, due, pause = woke.get("clock") or (False, now, 0)
    if source:
        clock.trusted, clock.source = True, source
    clock.due_in = min(max(0, due - now), _ASK_S)
    clock.pause = pause
    clock.pause_max = _ASK_S  # whoever waits for an answer is awake for it
    lease = woke.get("lease")
    if lease and 0 <= now - lease[1] < _LEASE_S:
        link.lease = lease
    if woke.get("aim"):
        link.aim = list(woke["aim"])


def _joined(link):
    """Return the Wi-Fi network that we are on, None without one, or where there are other ways."""
    network = getattr(link, "joined", None)
    return network if network and "ssid" in network and link.connected() else None


def _aim(link):
    """Return [SSID, channel, misses in a row] of the Wi-Fi network that we are on, or None."""
    network = _joined(link)
    if not network:
        return None
    ssid, aim = network["ssid"], getattr(link, "aim", None)
    misses = aim[2] if aim and aim[0] == ssid else 0
    try:
        return [ssid, link.interface.config("channel"), misses]
    except Exception:  # the network has gone meanwhile
        return None


def _lease(link, now):
    """Return the address that a Wi-Fi network has given us, and since when, None if none has."""
    network = _joined(link)
    if not network or network["static"]:
        return None
    return (network["ssid"],) + tuple(link.interface.ifconfig()), now
