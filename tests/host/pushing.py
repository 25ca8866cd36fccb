"""Pushes new images to fake boards, without the patience that real ones need."""

from mqhost.signing.offer import Offer
from mqhost.update.push import push


def offer_for(app, **changes):
    """Describe `app` as the image after the one that a fake board runs."""
    facts = {"board": "sim", "mcu": "esp32", "version": "0.2.0", "seq": 2} | changes
    return Offer.make(app, **facts)


def push_new(session, app, **options):
    """Push `app` with its offer; return the UpdateResult."""
    return push(session, offer_for(app), app, **{"patience": 20, "confirm_timeout": 10} | options)


def interrupt(stage, done, total):
    """Stop a push by Ctrl-C in the middle of sending: a progress callback."""
    if stage == "send" and done >= 4:
        raise KeyboardInterrupt
