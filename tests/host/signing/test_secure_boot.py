"""Tests secure boot's signatures with the real espsecure, and where its key may be and may not."""

import base64
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from rsakeys import private_pem, rsa_key

from mqhost.errors import ToolError, UsageError
from mqhost.flash.espimage import ImageError, build_app_image, verify
from mqhost.flash.partition import SECTOR
from mqhost.flash.sigblock import signed_by
from mqhost.signing import secure_boot
from mqhost.signing.secure_boot import KEY, SCHEMES, find_key

APP = build_app_image(
    b"code" * 3000, chip_id=0, project="p", version="v", build_time=0, idf_version="i"
)
PEMS = {
    "rsa3072": private_pem(rsa_key(0)),
    "ecdsa256": private_pem(ec.derive_private_key(7, ec.SECP256R1())),
}


@pytest.fixture(autouse=True)
def config(tmp_path, monkeypatch):
    """Have a configuration folder with a key of each kind."""
    monkeypatch.delenv(KEY, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "mqboard"
    folder.mkdir()
    for scheme, pem in PEMS.items():
        path = folder / f"secure-boot-{scheme}.pem"
        path.touch(0o600)
        path.write_text(pem)
    return folder


def espsecure(*words):
    argv = [sys.executable, "-P", "-m", "espsecure", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_signed_is_what_espsecure_and_the_chip_take(config, tmp_path, scheme):
    key = find_key(scheme)
    signed = key.sign(APP)
    assert signed.startswith(APP) and len(signed) % SECTOR == 0
    assert set(signed[len(APP) : -SECTOR]) <= {0xFF}  # padded to a sector
    assert verify(signed, 0) == verify(APP, 0)
    path, digest, other = tmp_path / "signed", tmp_path / "digest", tmp_path / "other.pem"
    path.write_bytes(signed)
    file = config / f"secure-boot-{scheme}.pem"
    assert espsecure("verify-signature", "-v", 2, "-k", file, path).returncode == 0
    espsecure("digest-sbv2-public-key", "-k", file, "-o", digest)
    assert signed_by(signed) == digest.read_bytes().hex()  # what the chip's eFuses will hold
    other.write_text(PEMS["ecdsa256" if scheme == "rsa3072" else "rsa3072"])
    assert espsecure("verify-signature", "-v", 2, "-k", other, path).returncode != 0
    damaged = bytearray(signed)
    damaged[100] ^= 1
    with pytest.raises(ImageError, match="of other bytes"):
        signed_by(bytes(damaged))
    damaged = bytearray(signed)
    damaged[-SECTOR + 50] ^= 1  # no block any more
    assert signed_by(bytes(damaged)) == ""


def test_what_is_not_signed_is_nobodys():
    for data in (b"", APP, bytes(2 * SECTOR), b"\xe7\x02" * SECTOR):
        assert signed_by(data) == ""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_key_in_another_spelling_is_not_printed(monkeypatch, scheme):
    pem = PEMS[scheme]
    inner = pem.strip().splitlines()[1:-1]
    for value in (base64.b64encode(pem.encode()).decode(), "".join(inner), "\n".join(inner)):
        monkeypatch.setenv(KEY, value)
        with pytest.raises(UsageError, match="neither a PEM text nor the path") as caught:
            find_key(scheme)
        assert value[:20] not in str(caught.value)


def test_the_key_may_stand_in_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv(KEY, PEMS["ecdsa256"])
    assert find_key("ecdsa256").where == KEY
    path = tmp_path / "k.pem"
    path.touch(0o600)
    path.write_text(PEMS["rsa3072"])
    monkeypatch.setenv(KEY, str(path))
    assert find_key("rsa3072").where == str(path)
    with pytest.raises(UsageError, match="none for secure boot with ecdsa256"):
        find_key("ecdsa256")


def test_a_key_in_a_repository_is_refused(monkeypatch, tmp_path, config):
    repository = tmp_path / "project"
    deep = repository / "secrets" / "keys"
    deep.mkdir(parents=True)
    (repository / ".git").mkdir()
    path = deep / "k.pem"
    path.touch(0o600)
    path.write_text(PEMS["rsa3072"])
    monkeypatch.setenv(KEY, str(path))
    with pytest.raises(UsageError, match=f"lies in the git repository {repository}. .*move it to"):
        find_key("rsa3072")
    link = config / "link.pem"  # nor by another way
    link.symlink_to(path)
    monkeypatch.setenv(KEY, str(link))
    with pytest.raises(UsageError, match="lies in the git repository"):
        find_key("rsa3072")
    (repository / ".git").rmdir()
    (repository / ".git").write_text("gitdir: elsewhere")  # a worktree
    with pytest.raises(UsageError, match="lies in the git repository"):
        find_key("rsa3072")


def test_a_key_that_cannot_be_used_is_told(monkeypatch, config):
    path = config / "secure-boot-rsa3072.pem"
    path.chmod(0o644)
    with pytest.raises(UsageError, match=r"can be read by others \(mode 644\)"):
        find_key("rsa3072")
    path.chmod(0o600)
    for text, words in (
        ("nothing", "no private key in PEM"),
        (private_pem(rsa_key(0), b"secret"), "has a passphrase"),
        (PEMS["ecdsa256"], "none for secure boot with rsa3072"),
        (private_pem(rsa_key(1, 2048)), "none for secure boot with rsa3072"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=words) as caught:
            find_key("rsa3072")
        assert "BEGIN" not in str(caught.value)
    path.unlink()
    with pytest.raises(UsageError, match="espsecure generate-signing-key .* --scheme rsa3072"):
        find_key("rsa3072")
    monkeypatch.setenv(KEY, str(path))
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        find_key("rsa3072")


def test_the_key_is_in_no_message_and_what_espsecure_says_is(monkeypatch):
    key = find_key("ecdsa256")
    assert "BEGIN" not in repr(key)
    with pytest.raises(ToolError, match="(?s)espsecure sign-data failed with the key in .*pem"):
        secure_boot.SecureBootKey("ecdsa256", key.where, b"nonsense").sign(APP)
