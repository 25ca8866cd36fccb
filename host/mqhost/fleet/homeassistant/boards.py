"""Keeps the devices of a bridge, and which board is behind each: boards come, go, get another
prefix, or are replaced by another one at theirs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import mqwire
from mqhost.fleet.homeassistant.device import Device
from mqhost.fleet.homeassistant.topics import ident_of
from mqhost.fleet.presence import Presence
from mqhost.fleet.where import Where
from mqhost.link.roster import Sighting, Status
from mqhost.signing.offer import Offer


@dataclass(frozen=True)
class Found:
    """What a status has told: the `device` it is of, None for none that is shown, and those that
    are `gone`.
    """

    device: Device | None = None
    gone: tuple[Device, ...] = ()


class Boards:
    """The devices for which `where` holds, by their names in Home Assistant."""

    def __init__(self, offers: Iterable[Offer], where: Where | None = None) -> None:
        self._offers = {offer.board: offer for offer in offers}
        self._where = where
        self._devices: dict[str, Device] = {}
        self._places: dict[str, str] = {}  # by prefix: whose status is there

    def devices(self) -> Sequence[Device]:
        """Return all of them."""
        return list(self._devices.values())

    def idents(self) -> set[str]:
        """Return their names."""
        return set(self._devices)

    def has(self, ident: str) -> bool:
        """Return whether there is such a device."""
        return ident in self._devices

    def of(self, ident: str) -> Device:
        """Return the device with that name, which there must be."""
        return self._devices[ident]

    def is_of(self, ident: str, prefix: str, sighting: Sighting | None) -> bool:
        """Return whether what was last said at `prefix` is of the board `ident`, or may be."""
        if sighting is None:
            return False
        status = sighting.status
        return bool(status.get("twin")) or _nameless(status) or ident_of(prefix, status) == ident

    def look(self, prefix: str, sighting: Sighting | None) -> Found:
        """Take what was last said at `prefix`, None if the broker knows nothing of it any more."""
        if sighting is None:
            return Found(gone=self._leave(prefix))
        status = sighting.status
        ident = ident_of(prefix, status)
        if _nameless(status):
            ident = self._places.get(prefix, "")
            if not ident:
                return Found()  # who that is will be known when it is there
        gone: tuple[Device, ...] = ()
        if self._places.get(prefix, ident) != ident and not status.get("twin"):
            gone = self._leave(prefix)  # another board is there now
        device = self._devices.get(ident)
        if device is None:
            if self._where and not self._where.matches(Presence.of(prefix, sighting)):
                return Found(gone=gone)
            device = self._devices[ident] = Device(ident, prefix)
        self._places[prefix] = ident
        if device.prefix != prefix:
            if status.get("state") != mqwire.ONLINE:
                return Found(gone=gone)  # what it has left behind where it was before
            device.prefix = prefix
        if device.hear(status):
            device.ask_at = 0.0
        device.offer = self._offers.get(str(device.facts.get("board")))
        return Found(device, gone)

    def _leave(self, prefix: str) -> tuple[Device, ...]:
        """Forget who was at `prefix`; return the device that is gone with that, if any is."""
        ident = self._places.pop(prefix, "")
        device = self._devices.get(ident)
        if device is None or device.prefix != prefix:
            return ()
        return (self._devices.pop(ident),)


def _nameless(status: Status) -> bool:
    """Return whether it is the will of firmware that does not say there whose it is."""
    return status.get("state") != mqwire.ONLINE and "id" not in status
