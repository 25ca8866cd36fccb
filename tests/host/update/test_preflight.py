"""Tests the checks before anything is sent: signatures and failures that a board would refuse."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from rsakeys import private_pem

from mqhost.errors import RefusedError
from mqhost.signing.offer import Offer
from mqhost.signing.secure_boot import SecureBootKey
from mqhost.update import preflight
from mqwire import update as wire

APP = b"\xe9" + bytes(9000)


def test_what_a_board_will_not_take_is_said_before_it_is_sent():
    trusted = {"signing": "required", "keys": ["a" * 16, "b" * 16]}
    plain = Offer.make(APP, board="b", mcu="m", version="1", seq=1)
    named = Offer.make(APP, board="b", mcu="m", version="1", seq=1, key="c" * 16)
    ours = Offer.make(APP, board="b", mcu="m", version="1", seq=1, key="b" * 16)
    for offer, reason, code in (
        (plain, "not signed; p takes only", wire.UNKNOWN_KEY),
        (named.signed(b"x" * 384), f"{'c' * 16}; p takes only .* {'a' * 16}", wire.UNKNOWN_KEY),
        (ours, "mqboard sign", wire.BAD_SIGNATURE),
    ):
        with pytest.raises(RefusedError, match=reason) as caught:
            preflight.check_key(offer, trusted, "p")
        assert caught.value.code == code
        for info in ({}, {"signing": "none", "keys": []}):
            preflight.check_key(offer, info, "p")
    preflight.check_key(ours.signed(b"x" * 384), trusted, "p")


def test_a_chip_with_secure_boot_is_not_sent_what_it_would_not_start():
    keys = [ec.derive_private_key(number, ec.SECP256R1()) for number in (7, 8)]
    ours, other = (SecureBootKey("ecdsa256", "here", private_pem(key).encode()) for key in keys)
    running, new = ours.sign(APP), ours.sign(APP[:5000])
    preflight.check_secure_boot(new, running, "p")
    preflight.check_secure_boot(APP, APP, "p")  # a board without it
    preflight.check_secure_boot(APP, None, "p")  # nobody here knows: the board refuses
    preflight.check_secure_boot(new, APP, "p")  # nor does it mind a signature
    for wrong, words in ((APP, "signed not at all"), (other.sign(APP), "signed with key")):
        with pytest.raises(RefusedError, match=f"{words}.*Nothing was sent") as caught:
            preflight.check_secure_boot(wrong, running, "p")
        assert caught.value.code == wire.IMAGE_INVALID


def test_what_failed_before_is_said_before_it_is_sent():
    offer = Offer.make(APP, board="b", mcu="m", version="1", seq=1)
    failed = {"image": offer.sha256, "version": "1", "code": wire.CRASH, "reason": "ValueError: x"}
    with pytest.raises(RefusedError, match="crashed.*ValueError: x.*--retry-failed") as caught:
        preflight.check_failed_before(offer, {"failed": failed}, "p")
    assert caught.value.code == wire.FAILED_BEFORE
    for other in (None, failed | {"image": "0"}, failed | {"code": wire.POWER_LOST}):
        preflight.check_failed_before(offer, {"failed": other}, "p")
