"""Signs provenance that a build wrote without the private key, as `mqboard sign` does."""

import hashlib
from pathlib import Path

from mqhost.attest.check import PROVENANCE
from mqhost.attest.dsse import Envelope
from mqhost.attest.statement import SUBJECTS, Provenance
from mqhost.errors import ProofError
from mqhost.files import replace_file
from mqhost.signing.keys import find_signing_key


def sign_provenance(app_path: Path) -> bool:
    """Sign the provenance.json beside the image `app_path`; return whether there is one.

    Raises ProofError if it is not about the files that lie there: a signature is a word given.
    """
    path = app_path.with_name(PROVENANCE)
    if not path.is_file():
        return False
    envelope = Envelope.from_bytes(path.read_bytes(), str(path))
    provenance = Provenance.from_bytes(envelope.payload, str(path))
    for name in SUBJECTS:
        beside = path.with_name(name)
        if not beside.is_file():
            continue
        if hashlib.sha256(beside.read_bytes()).hexdigest() != provenance.subjects[name]:
            raise ProofError(
                f"{beside} is not the one that {path.name} is about: it was changed, or is of "
                "another build. The provenance was not signed."
            )
    replace_file(path, envelope.signed(find_signing_key()).to_bytes())
    return True
