"""Makes what a build leaves, provenance and all, in no time; and what an attacker would make."""

import base64
import hashlib
import json

from fakebuild import bundle_files
from rsakeys import rsa_key

from mqhost.attest.dsse import Envelope, Signature, pae
from mqhost.attest.statement import SUBJECTS, Dependency, Provenance
from mqhost.signing.keys import SigningKey
from mqhost.signing.offer import Offer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
KEY, OTHER = (SigningKey(rsa_key(number), f"key {number}") for number in (0, 1))


def provenance_of(files, **facts):
    """Return provenance of these files, with `facts` in the place of what a build would say."""
    known = {
        "board": "esp32",
        "version": "1.0",
        "project": False,
        "commit": COMMIT,
        "changed": False,
        "micropython": "v1.28.0",
        "builder": "urn:mqboard:builder:local:desk",
        "how": "native",
        "keys": (KEY.public.pem(),),
        "sdkconfig": {"more": ("CONFIG_X=y",)},
        "dependencies": (
            Dependency("MQBoard", "git+https://example.org/m", {"gitCommit": COMMIT}, {"a": True}),
            Dependency("gcc 12", "pkg:generic/gcc@12"),
        ),
        "tools": {"python": "3.11"},
        "started": "2026-01-01T00:00:00Z",
        "finished": "2026-01-01T00:01:00Z",
        "invocation": "urn:uuid:1",
    }
    digests = {name: hashlib.sha256(files[name]).hexdigest() for name in SUBJECTS if name in files}
    return Provenance(**known | {"subjects": digests} | facts)


def proven_files(version="1.0", key=KEY, **facts):
    """Return a build's files by their names, the provenance signed by `key` (None: by none)."""
    files = bundle_files(version)
    app = hashlib.sha256(files["app.bin"]).hexdigest()
    files["sbom.cdx.json"] = bill(app)
    if key:
        offer = Offer.make(
            files["app.bin"], board="esp32", mcu="esp32", version=version, seq=1, key=key.public.id
        )
        files["image.json"], files["image.sig"] = offer.to_bytes(), key.sign(offer.to_bytes())
    envelope = Envelope(provenance_of(files, **{"version": version} | facts).to_bytes())
    files["provenance.json"] = (envelope.signed(key) if key else envelope).to_bytes()
    return files


def bill(app, modules=(("main.py", "00" * 32),)):
    """Return the least that is a list of parts."""
    components = [
        {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]}
        for name, digest in modules
    ]
    root = {"type": "firmware", "name": "mqboard-esp32"}
    root["hashes"] = [{"alg": "SHA-256", "content": app}]
    record = {"bomFormat": "CycloneDX", "metadata": {"component": root}, "components": components}
    return json.dumps(record).encode()


def envelope_of(payload, key=KEY, kind="application/vnd.in-toto+json", **changes):
    """Return the bytes of an envelope around `payload`, signed as being of `kind`."""
    record = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [
            {
                "keyid": key.public.id,
                "sig": base64.b64encode(key.sign(pae(payload, kind))).decode(),
            }
        ],
    }
    return json.dumps(record | changes).encode()


def with_signature(data, key, signature):
    """Return the envelope `data` with another signature, said to be that of `key`."""
    payload = Envelope.from_bytes(data, "x").payload
    return Envelope(payload, (Signature(key, signature),)).to_bytes()
