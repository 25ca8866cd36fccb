"""Makes an image the one that boots next, on trial, and notes that: for updates and rollbacks."""

from esp32 import NVS

from mqboard.health.bootrecord import NAMESPACE, Store, Trial
from mqboard.update import slots


def install(board, slot, image, version):
    """Have the next boot of `board` try the image (hex SHA-256) in `slot`. Raises OSError if the
    slot holds none that is valid.
    """
    store = Store(NVS(NAMESPACE))
    trial = Trial(store)
    try:
        trial.begin(image, version)
    except OSError as error:  # without the note a rollback cannot be explained, that is all
        board.log.error("NVS: %s", error)
    try:
        slot.set_boot()
    except OSError:
        trial.cancel()
        raise
    trial.due()
    board.blackbox.want("")  # it is to prove itself with all that it runs
    slots.keep_hash(slot, image, store)  # spares its first boot the reading
