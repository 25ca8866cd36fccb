"""Signs offers as a build does, for images that no build made."""

from mqhost.signing.keys import build_keys
from mqhost.signing.offer import Offer

_NEWEST = 1 << 40  # a seq that no build had


def signed_offer(app, key=None, **facts):
    """Make an offer of `app` signed with `key`, by default the one that builds sign with."""
    key = key or build_keys().signing
    known = {"board": "sim", "mcu": "esp32", "version": "x", "seq": _NEWEST}
    offer = Offer.make(app, key=key.public.id, **known | facts)
    return offer.signed(key.sign(offer.to_bytes()))


def write_image(folder, app, offer):
    """Write an app.bin with its offer and signature beside it into `folder`."""
    folder.mkdir(exist_ok=True)
    (folder / "app.bin").write_bytes(app)
    (folder / "image.json").write_bytes(offer.to_bytes())
    if offer.signature:
        (folder / "image.sig").write_bytes(offer.signature)
    return folder / "app.bin"
