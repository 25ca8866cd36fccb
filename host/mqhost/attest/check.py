"""Gives the verdict on a build's files: who made them from what, proven by a signature, or why not.

    files by name → envelope → signature of a trusted key → statement → digests of every file

`check` believes nothing before the signature was found good, and no file that the statement does
not name by its digest. Whoever may write all the files, but has none of the keys, gets no Verdict:
at the most an old bundle, unchanged, which is proven to be that old one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mqhost.attest.dsse import Envelope
from mqhost.attest.statement import APP, FLASH, SUBJECTS, Provenance
from mqhost.attest.strict import failing
from mqhost.errors import ProofError, UsageError
from mqhost.paths import TASK
from mqhost.signing.keys import PublicKey
from mqhost.signing.offer import Offer

PROVENANCE = "provenance.json"
OFFER, SIGNATURE = "image.json", "image.sig"


@dataclass(frozen=True)
class Verdict:
    """What is proven: `provenance`, by `key`. `proven`: the files here that it is about; `absent`:
    those that it is about and are not here; `offer`: whether image.json is signed by the key, too;
    `rest`: what lies beside and nothing is said of."""

    provenance: Provenance
    key: PublicKey
    proven: tuple[str, ...]
    absent: tuple[str, ...] = ()
    offer: bool = False
    rest: tuple[str, ...] = field(default=())


def check(files: Mapping[str, bytes], keys: Sequence[PublicKey], where: str = "") -> Verdict:
    """Return what is proven of `files`, the bytes by their names in the bundle, when `keys` are
    trusted; `where` names the bundle in errors. Raises ProofError: a plain sentence why not.
    """
    place = f"{where}: " if where else ""
    if PROVENANCE not in files:
        raise ProofError(
            f"{place}{PROVENANCE} is missing, without which nothing is proven. The build writes it "
            f"beside app.bin: copy it along, or build again ({TASK} build)."
        )
    if not keys:
        raise ProofError(
            f"{place}no key is known here that could have signed it. Give the public key of whom "
            "you trust: --key PEM; or set MQBOARD_PUBLIC_KEYS."
        )
    envelope = Envelope.from_bytes(files[PROVENANCE], f"{place}{PROVENANCE}")
    key = envelope.signer(keys)
    if key is None:
        raise _unsigned(envelope, keys, f"{place}{PROVENANCE}")
    provenance = Provenance.from_bytes(envelope.payload, f"{place}{PROVENANCE}")
    present = [name for name in SUBJECTS if name in files]
    for name in present:
        digest = hashlib.sha256(files[name]).hexdigest()
        if digest != provenance.subjects[name]:
            raise ProofError(
                f"{place}{name} is not the one that was built: its SHA-256 is {digest[:16]}…, and "
                f"{PROVENANCE} says {provenance.subjects[name][:16]}…. It was changed, damaged, or "
                "is of another build. Do not use it."
            )
    if not {APP, FLASH} & set(present):
        raise ProofError(f"{place}there is no image here to be verified, {APP} or {FLASH}.")
    offered = OFFER in files and _check_offer(files, provenance, keys, place)
    known = {*SUBJECTS, PROVENANCE, *((OFFER, SIGNATURE) if offered else ())}
    return Verdict(
        provenance,
        key,
        proven=tuple(present),
        absent=tuple(name for name in SUBJECTS if name not in files),
        offer=offered,
        rest=tuple(sorted(files.keys() - known)),
    )


def _unsigned(envelope: Envelope, keys: Sequence[PublicKey], where: str) -> ProofError:
    """Return the error that no trusted key has signed `envelope`."""
    if not envelope.signatures:
        return ProofError(
            f"{where} is not signed: whoever wrote it may be anybody. Where the key is: "
            "MQBOARD_SIGNING_KEY=KEY mqboard sign app.bin"
        )
    known = {key.id for key in keys}
    named = ", ".join(sorted({f"{one.key!r:.20}" for one in envelope.signatures}))
    if known & {one.key for one in envelope.signatures}:
        return ProofError(
            f"{where} was changed: what is in it is not what key {named} signed. Do not use it."
        )
    return ProofError(
        f"{where} is signed by another key than is trusted here: it names {named}, trusted is "
        f"{', '.join(sorted(known))}. If you trust whose key it is: --key PEM"
    )


def _check_offer(
    files: Mapping[str, bytes], provenance: Provenance, keys: Sequence[PublicKey], place: str
) -> bool:
    """Return whether the offer is signed by one of `keys`; ProofError if it is of other firmware
    than `provenance`, or its signature is wrong."""
    fail = failing(f"{place}{OFFER}")
    try:
        offer = Offer.from_bytes(files[OFFER], f"{place}{OFFER}")
    except UsageError as error:
        raise ProofError(str(error)) from error
    if offer.sha256 != provenance.subjects[APP]:
        fail(f"offers another image than the {APP} that was built")
    if (offer.board, offer.version) != (provenance.board, provenance.version):
        fail(f"says that it is {offer.board} {offer.version}, and {PROVENANCE} says otherwise")
    signature = files.get(SIGNATURE)
    if signature is None:
        return False
    if not any(key.signed(files[OFFER], signature) for key in keys):
        fail(f"is not signed by a key that is trusted here: {SIGNATURE} does not fit")
    return True
