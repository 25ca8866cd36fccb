"""Keeps signing keys: the public ones that boards know, and the one that builds sign with.

    MQBOARD_SIGNING_KEY, or the development key  →  SigningKey  →  image.sig
    MQBOARD_PUBLIC_KEYS, or the public halves    →  PublicKey   →  frozen into the firmware

The development key lies in the user's configuration folder, outside any checkout, for its owner
only; the first build makes it. A second one, the next key, is frozen into firmware beside it, so
that the boards know it before it is used. Formats: PEM; RSA with 3072 bits and exponent 65537.
"""

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mqhost.errors import ToolError, UsageError
from mqhost.locks import locked
from mqhost.paths import TASK, config_dir
from mqwire.update import EXPONENT, KEY_NAME_SIZE, SIGNATURE_SIZE

if TYPE_CHECKING:  # slow to load: where it is needed, it is imported
    from cryptography.hazmat.primitives.asymmetric import rsa

SIGNING_KEY = "MQBOARD_SIGNING_KEY"
PUBLIC_KEYS = "MQBOARD_PUBLIC_KEYS"
CURRENT, NEXT = "signing-key.pem", "next-key.pem"
MOST = 2  # public keys in a firmware: current and next

_BITS = 8 * SIGNATURE_SIZE
_BEGIN = "-----BEGIN"


@dataclass(frozen=True)
class PublicKey:
    """A key that boards know: its modulus, 384 bytes, big-endian."""

    modulus: bytes

    @property
    def id(self) -> str:
        """Its name: the first 16 hex digits of the SHA-256 of the modulus."""
        return hashlib.sha256(self.modulus).hexdigest()[:KEY_NAME_SIZE]

    def pem(self) -> str:
        """Return the key as PEM text."""
        from cryptography.hazmat.primitives import serialization

        return (
            self._key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )

    def signed(self, data: bytes, signature: bytes) -> bool:
        """Return whether `signature` is that of this key over `data`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        try:
            self._key().verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True

    def _key(self) -> "rsa.RSAPublicKey":
        from cryptography.hazmat.primitives.asymmetric import rsa

        return rsa.RSAPublicNumbers(EXPONENT, int.from_bytes(self.modulus, "big")).public_key()


class SigningKey:
    """A key that signs. It never shows itself: only `public` and signatures come out of it."""

    def __init__(self, key: "rsa.RSAPrivateKey", where: str) -> None:
        self._key = key
        self.where = where  # for people: where it was found
        self.public = _public(key.public_key(), where)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.id})"

    def sign(self, data: bytes) -> bytes:
        """Return the signature over `data`: 384 bytes, RSA, PKCS#1 v1.5, SHA-256."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())


@dataclass(frozen=True)
class BuildKeys:
    """What a build does with keys: `public` are frozen, current first; `signing` signs the offer,
    None: it is signed elsewhere. `made`: the file of the development key if it was made now."""

    public: tuple[PublicKey, ...] = ()
    signing: SigningKey | None = None
    made: Path | None = None

    @property
    def name(self) -> str:
        """The key that the offer names: the one that signs it, or will."""
        if self.signing:
            return self.signing.public.id
        return self.public[0].id if self.public else ""


def build_keys() -> BuildKeys:
    """Return the keys of a build, by the environment or else the development keys; makes a
    development key if there is none. UsageError if a key cannot be used.
    """
    signing, public = signing_key_of_environment(), public_keys_of_environment()
    if signing:
        return BuildKeys(public or (signing.public,), signing)
    if public:
        return BuildKeys(public)
    made = None if (config_dir() / CURRENT).exists() else make_key(CURRENT)
    own = load_signing_key(config_dir() / CURRENT)
    return BuildKeys(tuple(unique([own.public, *_next()])), own, made)


def find_signing_key() -> SigningKey:
    """Return the key to sign with: MQBOARD_SIGNING_KEY or the development key, or UsageError."""
    key = signing_key_of_environment()
    if key is None and not (config_dir() / CURRENT).exists():
        raise UsageError(
            f"There is no signing key: {SIGNING_KEY} is not set, and {config_dir() / CURRENT} does "
            f"not exist. {TASK} keys makes a development key."
        )
    return key or load_signing_key(config_dir() / CURRENT)


def known_keys() -> list[PublicKey]:
    """Return all public keys that this machine knows of; makes none. UsageError for a bad one."""
    signing = signing_key_of_environment()
    known = [signing.public] if signing else []
    known += public_keys_of_environment()
    own = config_dir() / CURRENT
    known += [load_signing_key(own).public] if own.exists() else []
    return unique([*known, *_next()])


def make_key(name: str) -> Path | None:
    """Make the key `name` (CURRENT or NEXT) in the configuration folder; None if it is there."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    path = config_dir() / name
    try:
        config_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(config_dir() / "lock"):
            if path.exists():
                return None
            key = rsa.generate_private_key(EXPONENT, _BITS)
            pem = key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            with _replaced(path) as file:  # made by mkstemp: for its owner only
                file.write(pem)
    except OSError as error:
        raise ToolError(
            f"The key {path} cannot be made: {error.strerror}. XDG_CONFIG_HOME names another "
            f"folder for it; {SIGNING_KEY} and {PUBLIC_KEYS} name keys that are elsewhere."
        ) from error
    return path


def rotate() -> Path:
    """Make the next key the current one; the old one is kept beside it. Returns where."""
    folder = config_dir()
    with locked(folder / "lock"):
        if not (folder / NEXT).exists() or not (folder / CURRENT).exists():
            raise UsageError(
                f"There is no next key. Make one ({TASK} keys --next), build, update all boards so "
                "that they know it, and then rotate."
            )
        old = load_signing_key(folder / CURRENT)
        kept = folder / f"retired-{old.public.id}.pem"
        load_signing_key(folder / NEXT)
        try:
            with _replaced(kept) as file:  # first: at no moment is a key nowhere
                file.write((folder / CURRENT).read_bytes())
            os.replace(folder / NEXT, folder / CURRENT)
        except OSError as error:
            raise ToolError(
                f"The keys in {folder} cannot be rotated: {error.strerror}. They are as they were; "
                "when the folder can be written, rotate again."
            ) from error
        _sync(folder)
    return kept


def load_signing_key(path: Path) -> SigningKey:
    """Return the key in file `path`; UsageError if unusable, or if others can read it."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read()
    except OSError as error:
        raise UsageError(f"The signing key {path} cannot be read: {error.strerror}.") from error
    if mode & 0o077:
        raise UsageError(
            f"The signing key {path} can be read by others (mode {mode:o}). If nobody did: "
            f"chmod 600 {path}. Otherwise take another key and replace it on the boards."
        )
    return parse_signing_key(data, str(path))


def parse_signing_key(pem: bytes, where: str) -> SigningKey:
    """Return the key in PEM text; UsageError, naming `where` and never the text, if it is none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    try:
        key = serialization.load_pem_private_key(pem, None)
    except TypeError:
        raise UsageError(
            f"The signing key in {where} is encrypted. Give it without a passphrase, from a place "
            "that only its user can read (openssl pkcs8 -in KEY -out PLAIN)."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{where} holds no private key in PEM format.") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise UsageError(f"The signing key in {where} is not an RSA key. {_how_to_make()}")
    return SigningKey(key, where)


def parse_public_keys(pem: str, where: str) -> list[PublicKey]:
    """Return all public keys in PEM text; UsageError if there is none, or one is unusable."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    if "PRIVATE KEY" in pem:
        raise UsageError(f"{where} holds a private key. Public ones belong there: {TASK} keys.")
    found = []
    for part in pem.split(_BEGIN)[1:]:
        try:
            key = serialization.load_pem_public_key((_BEGIN + part).encode())
        except (ValueError, UnsupportedAlgorithm):
            raise UsageError(f"{where} holds something that is no public key in PEM.") from None
        found.append(_public(key, where))
    if not found:
        raise UsageError(f"{where} holds no public key in PEM format.")
    return found


def signing_key_of_environment() -> SigningKey | None:
    """Return the key in MQBOARD_SIGNING_KEY, a PEM text or a path; None if it is not set."""
    value = os.environ.get(SIGNING_KEY, "").strip()
    if not value:
        return None
    if _BEGIN in value:
        return parse_signing_key(value.encode(), SIGNING_KEY)
    if "\n" in value or len(value) > 1000:  # no path: do not print it, it may be half a key
        raise UsageError(f"{SIGNING_KEY} is neither a PEM text nor the path of one.")
    return load_signing_key(Path(value).expanduser())


def public_keys_of_environment() -> tuple[PublicKey, ...]:
    """Return the keys in MQBOARD_PUBLIC_KEYS, PEM text or paths with ":" between."""
    value = os.environ.get(PUBLIC_KEYS, "").strip()
    if not value:
        return ()
    if _BEGIN in value:
        found = parse_public_keys(value, PUBLIC_KEYS)
    else:
        found = []
        for name in filter(None, value.split(os.pathsep)):
            try:
                text = Path(name).expanduser().read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"{PUBLIC_KEYS}: {name} cannot be read: {error}.") from error
            found += parse_public_keys(text, name)
    keys = tuple(unique(found))
    if len(keys) > MOST:
        raise UsageError(
            f"{PUBLIC_KEYS} holds {len(keys)} keys; a firmware has {MOST}: current and next."
        )
    return keys


def unique(keys: Iterable[PublicKey]) -> list[PublicKey]:
    """Return `keys` in their order, each once."""
    return list(dict.fromkeys(keys))


def _next() -> list[PublicKey]:
    path = config_dir() / NEXT
    return [load_signing_key(path).public] if path.exists() else []


def _public(key: Any, where: str) -> PublicKey:
    """Return the public key, if it is of the kind that boards know; UsageError if not."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    if not isinstance(key, rsa.RSAPublicKey):
        raise UsageError(f"The key in {where} is not an RSA key. {_how_to_make()}")
    numbers = key.public_numbers()
    if key.key_size != _BITS or numbers.e != EXPONENT:
        raise UsageError(
            f"The key in {where} is RSA with {key.key_size} bits and exponent {numbers.e}; boards "
            f"know {_BITS} bits and exponent {EXPONENT}. {_how_to_make()}"
        )
    return PublicKey(numbers.n.to_bytes(SIGNATURE_SIZE, "big"))


def _how_to_make() -> str:
    return f"Make one: openssl genrsa -out KEY {_BITS}, or {TASK} keys."


@contextlib.contextmanager
def _replaced(path: Path) -> Any:
    """Give a new file that takes the place `path` when the block is done, on disk and whole."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Write the names in `folder` to disk, where the filesystem can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
