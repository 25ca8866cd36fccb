"""Numbers how an update goes, and how it can end: the status codes.

They are apart from mqwire.update because a board needs some of them at every boot, and the rest of
that only when there is an update: 1 KB of heap on 64 bits.
"""

# Codes: below 16 progress and success, 16 to 31 refused, 32 to 47 failed; from 48 on rolled back,
# which comes not in a reply but in the birth message of the firmware that is back (`failed`).
RECEIVING = 0
INSTALLED = 1
ALREADY_RUNNING = 2
COMPARING = 3  # 3 and 4: only to who asked for "progress"; firmware of protocol 1 has neither
VERIFYING = 4
REFUSED = 16
MALFORMED = 16
WRONG_BOARD = 17
WRONG_MCU = 18
TOO_LARGE = 19
BUSY = 20
UNCONFIRMED = 21
BAD_SIGNATURE = 22  # there is none, or it is not that of the key it names
UNKNOWN_KEY = 23
TOO_OLD = 24  # older than what was confirmed before
FAILED_BEFORE = 25  # this very image was rolled back
WRONG_BASE = 26  # what it is a difference to is not what runs: send it in full
FAILED = 32
FLASH_ERROR = 32
IMAGE_HASH = 33
IMAGE_INVALID = 34
CANCELLED = 35
NO_MEMORY = 36
ROLLED_BACK = 48
NO_NETWORK = 48  # never on a network
NO_BROKER = 49  # on a network, never on the broker
UNREACHABLE = 50  # on the broker, and yet its own command did not come back
UNHEALTHY = 51
WATCHDOG = 52
CRASH = 53
POWER_LOST = 54  # says nothing about the image: it may be offered again
