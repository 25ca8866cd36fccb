"""Tests signed offers: what the right key signed is taken, everything else is refused unread."""

import json
import unittest

from signatures import (
    BLOCK_TYPE_2,
    MODULUS,
    OFFER,
    OTHER_MODULUS,
    SHORT_PADDING,
    SIGNATURE,
    WITHOUT_PARAMETERS,
)

from mqboard.update.offer import Refusal, read_request
from mqboard.update.signature import genuine, key_id, named_key
from mqwire import update as wire

KEY = json.loads(OFFER)["key"]


def with_number(change):
    """Change the signature as a number."""
    return change(int.from_bytes(SIGNATURE, "big")).to_bytes(384, "big")


class SignatureTest(unittest.TestCase):
    def test_the_right_one_is_genuine(self):
        self.assertTrue(genuine(OFFER, SIGNATURE, MODULUS))
        self.assertTrue(genuine(memoryview(OFFER), memoryview(SIGNATURE), MODULUS))

    def test_every_flipped_bit_of_offer_or_signature_is_noticed(self):
        for position in (0, 1, len(OFFER) // 2, len(OFFER) - 1):
            changed = bytearray(OFFER)
            changed[position] ^= 1
            self.assertFalse(genuine(changed, SIGNATURE, MODULUS))
        for position in (0, 1, 100, 383):
            changed = bytearray(SIGNATURE)
            changed[position] ^= 0x80
            self.assertFalse(genuine(OFFER, changed, MODULUS))

    def test_another_length_is_no_signature(self):
        for wrong in (b"", SIGNATURE[:-1], SIGNATURE + b"\x00", b"\x00" + SIGNATURE):
            self.assertFalse(genuine(OFFER, wrong, MODULUS))

    def test_another_key_does_not_do(self):
        self.assertFalse(genuine(OFFER, SIGNATURE, OTHER_MODULUS))

    def test_a_number_that_is_not_below_the_modulus_is_refused(self):
        self.assertFalse(genuine(OFFER, MODULUS, MODULUS))
        self.assertFalse(genuine(OFFER, b"\xff" * 384, MODULUS))
        for number in (0, 1):
            self.assertFalse(genuine(OFFER, number.to_bytes(384, "big"), MODULUS))
        modulus = int.from_bytes(MODULUS, "big")
        self.assertFalse(genuine(OFFER, with_number(lambda number: modulus - number), MODULUS))

    def test_only_the_one_padded_message_counts(self):
        for forged in (SHORT_PADDING, BLOCK_TYPE_2, WITHOUT_PARAMETERS):
            self.assertEqual(len(forged), 384)
            self.assertFalse(genuine(OFFER, forged, MODULUS))

    def test_the_key_that_an_offer_names(self):
        self.assertEqual(named_key(OFFER), KEY)
        self.assertEqual(named_key(memoryview(OFFER)), KEY)
        self.assertEqual(key_id(MODULUS), KEY)
        for wrong in (
            b"",
            b"{}",
            OFFER[:30],
            OFFER.replace(b"key", b"KEY"),
            OFFER.replace(KEY.encode(), b""),
            OFFER.replace(KEY.encode(), b"g" * 16),
            b'{"key":"0123456789abcdef"}',
        ):
            self.assertEqual(named_key(wrong), "")


class Request:
    """What is read of an update command."""

    prefix = "p"
    ident = "12345678"

    def __init__(self, offer, signature):
        self.body = wire.pack_request(offer, signature)


class SignedOfferTest(unittest.TestCase):
    def refusal(self, offer, signature, *keys):
        """Return the Refusal of an offer by a board that knows `keys`."""
        with self.assertRaises(Refusal) as caught:
            read_request(Request(offer, signature), keys)
        return caught.exception

    def test_a_signed_offer_is_taken_whichever_of_the_keys_signed_it(self):
        for keys in ((MODULUS,), (OTHER_MODULUS, MODULUS)):
            offer, _ = read_request(Request(OFFER, SIGNATURE), keys)
            self.assertEqual(offer.version, "2.0")

    def test_an_unsigned_or_wrongly_signed_offer_is_refused_unread(self):
        for offer, signature in (
            (OFFER, b""),
            (OFFER, b"x"),
            (OFFER, SIGNATURE[:-1] + b"\x00"),
            (OFFER + b" ", SIGNATURE),
            (OFFER[:-1], SIGNATURE),
            (b"[" * 4000, b""),
        ):
            self.assertEqual(self.refusal(offer, signature, MODULUS).code, wire.BAD_SIGNATURE)

    def test_an_unknown_key_is_told_with_the_known_ones(self):
        refusal = self.refusal(OFFER, SIGNATURE, OTHER_MODULUS)
        self.assertEqual(refusal.code, wire.UNKNOWN_KEY)
        self.assertIn(KEY, refusal.detail)
        self.assertIn(key_id(OTHER_MODULUS), refusal.detail)
        self.assertEqual(self.refusal(b"[" * 4000, SIGNATURE, MODULUS).code, wire.UNKNOWN_KEY)

    def test_firmware_without_keys_takes_unsigned_offers(self):
        self.assertEqual(read_request(Request(OFFER, b""), ())[0].version, "2.0")


if __name__ == "__main__":
    unittest.main()
