"""Signs images for ESP-IDF's secure boot, through espsecure as a command (its licence is the GPL).

    MQBOARD_SECURE_BOOT_KEY, or the user's configuration folder  →  SecureBootKey  →  signed image

This signature is for the chip: its ROM and bootloader start nothing without it, whoever wrote it to
the flash. It has nothing to do with that of the offer (keys.py), which boards look at before they
write an image at all. The key is made by hand, and never lies in a repository.
"""

import importlib.util
import os
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from mqhost.errors import ToolError, UsageError
from mqhost.flash.sigblock import signed_by
from mqhost.paths import config_dir

# Names the key: a path, or the PEM text itself (for CI, from its secrets).
KEY = "MQBOARD_SECURE_BOOT_KEY"
RSA, ECDSA = "rsa3072", "ecdsa256"
SCHEMES = (RSA, ECDSA)

# Not from the current folder: a file espsecure.py there is none of our business.
_COMMAND = (sys.executable, "-P", "-m", "espsecure")
_RSA_BITS = 3072
_CURVE = "secp256r1"
_LONG = 150  # characters; the shortest key in base64 has more


@dataclass(frozen=True)
class SecureBootKey:
    """A private key for secure boot. `where`: for people, where it was found."""

    scheme: str
    where: str
    _pem: bytes = field(repr=False)

    def sign(self, image: bytes) -> bytes:
        """Return `image`, padded to a sector, with a sector behind it that holds the signature.

        Raises ToolError with what espsecure says if it cannot.
        """
        # A folder that only we can read; espsecure takes keys as files.
        with tempfile.TemporaryDirectory(prefix="mqboard-") as folder:
            key, plain = Path(folder) / "key.pem", Path(folder) / "image.bin"
            signed = Path(folder) / "signed.bin"
            key.touch(0o600)
            key.write_bytes(self._pem)
            plain.write_bytes(image)
            version = ("--version", "2", "--keyfile", str(key))
            self._run("sign-data", *version, "--output", str(signed), str(plain))
            self._run("verify-signature", *version, str(signed))
            result = signed.read_bytes()
        if not result.startswith(image) or not signed_by(result):
            raise ToolError("espsecure left an image that is not the one it was to sign.")
        return result

    def _run(self, *words: str) -> None:
        if importlib.util.find_spec("espsecure") is None:
            raise ToolError("esptool is missing, which signs. Install it: pip install esptool")
        unwanted = ("ESPTOOL_", "FORCE_COLOR", "TTY_", "ESPRESSIF_IDE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        result = subprocess.run(
            [*_COMMAND, *words],
            env=kept | {"NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        if result.returncode:
            said = result.stdout.strip().splitlines()[-4:]
            raise ToolError(
                f"espsecure {words[0]} failed with the key in {self.where}:\n" + "\n".join(said)
            )


def find_key(scheme: str) -> SecureBootKey:
    """Return the key for `scheme`: of the environment, or of the configuration folder.

    Raises UsageError: there is none, it is of another kind, others can read it, or it lies in a
    git repository.
    """
    value = os.environ.get(KEY, "").strip()
    if "-----BEGIN" in value:
        return _checked(value.encode(), scheme, KEY)
    if "\n" in value or len(value) > _LONG and not os.path.exists(os.path.expanduser(value)):
        # Not to be printed: it may be a key in another spelling.
        raise UsageError(f"{KEY} is neither a PEM text nor the path of a file with one.")
    path = Path(value).expanduser() if value else config_dir() / f"secure-boot-{scheme}.pem"
    if not value and not path.exists():
        raise UsageError(
            f"There is no key for secure boot: {KEY} is not set, and {path} does not exist. Make "
            "one, and keep a copy where nobody loses it, for boards take no other for good:\n"
            f"  espsecure generate-signing-key --version 2 --scheme {scheme} {path} && chmod 600 "
            f"{path}"
        )
    refuse_repository(path)
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            pem = file.read()
    except OSError as error:
        raise UsageError(
            f"The key for secure boot {path} cannot be read: {error.strerror}."
        ) from error
    if mode & 0o077:
        raise UsageError(
            f"The key for secure boot {path} can be read by others (mode {mode:o}). If nobody did: "
            f"chmod 600 {path}"
        )
    return _checked(pem, scheme, str(path))


def refuse_repository(path: Path) -> None:
    """Raise UsageError if `path` lies in a git repository, ignored there or not."""
    for folder in path.resolve().parents:
        if (folder / ".git").exists():
            raise UsageError(
                f"The key for secure boot {path} lies in the git repository {folder}. There it "
                f"would be published one day, and it cannot be taken back from boards: move it to "
                f"{config_dir()} or another folder outside."
            )


def _checked(pem: bytes, scheme: str, where: str) -> SecureBootKey:
    """Return the key if it is one for `scheme`; UsageError, naming `where`, if not."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    try:
        key = serialization.load_pem_private_key(pem, None)
    except TypeError:
        raise UsageError(f"The key in {where} has a passphrase; give it without one.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{where} holds no private key in PEM format.") from None
    right = (
        isinstance(key, rsa.RSAPrivateKey) and key.key_size == _RSA_BITS
        if scheme == RSA
        else isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == _CURVE
    )
    if not right:
        raise UsageError(f"The key in {where} is none for secure boot with {scheme}.")
    return SecureBootKey(scheme, where, pem)
