"""Says what secure boot and flash encryption of ESP-IDF mean for a board: the table [secure].

    [secure] in board.toml  →  Secure  →  options of ESP-IDF, and the steps that people take

What a chip can differs, and none of it can be taken back: docs/secure-boot.md. Sources: ESP-IDF
programming guide v5.5, "Secure Boot v2", "Flash Encryption", "NVS Encryption"; and its
components/bootloader/Kconfig.projbuild.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mqhost.errors import UsageError
from mqhost.flash.chips import CHIPS
from mqhost.signing.secure_boot import ECDSA, RSA, SCHEMES

DEVELOPMENT, RELEASE = "development", "release"
_KEYS = {"secure_boot": SCHEMES, "flash_encryption": (DEVELOPMENT, RELEASE)}

# Secure boot v2 came with a revision of these chips: the image refuses to run on older ones.
_REVISIONS = {"esp32": "CONFIG_ESP32_REV_MIN_3=y", "esp32c3": "CONFIG_ESP32C3_REV_MIN_3=y"}
_SCHEMES = {
    RSA: ("CONFIG_SECURE_SIGNED_APPS_RSA_SCHEME=y",),
    ECDSA: (
        "CONFIG_SECURE_SIGNED_APPS_ECDSA_V2_SCHEME=y",
        "CONFIG_SECURE_BOOT_ECDSA_KEY_LEN_256_BITS=y",
    ),
}
_MODES = {
    DEVELOPMENT: "CONFIG_SECURE_FLASH_ENCRYPTION_MODE_DEVELOPMENT=y",
    RELEASE: "CONFIG_SECURE_FLASH_ENCRYPTION_MODE_RELEASE=y",
}


@dataclass(frozen=True)
class Secure:
    """What the chip itself protects: `secure_boot` is the kind of key ("" without), with
    `flash_encryption` the flash is encrypted ("development", "release", "" if not)."""

    secure_boot: str = ""
    flash_encryption: str = ""

    def __bool__(self) -> bool:
        return bool(self.secure_boot or self.flash_encryption)

    @classmethod
    def read(cls, record: dict[str, Any], mcu: str, port: str, file: Path) -> "Secure":
        """Read the table [secure] of `file`; UsageError naming key and chip if it cannot be."""
        for key, value in record.items():
            if key not in _KEYS:
                known = ", ".join(_KEYS)
                raise UsageError(f"{file}: unknown key {key} in [secure]. Known keys: {known}.")
            if value not in _KEYS[key]:
                known = ", ".join(_KEYS[key])
                raise UsageError(f"{file}: {key} in [secure] is {value!r}; known: {known}.")
        secure = cls(**record)
        if not secure:
            return secure
        if port != "esp32":
            raise UsageError(
                f"{file}: [secure] is for chips. The simulated board has no eFuses and no ROM that "
                "would check a signature; leave it out."
            )
        can = CHIPS[mcu].secure_boot if mcu in CHIPS else ()
        if secure.secure_boot and secure.secure_boot not in can:
            kinds = ", ".join(can) or "none"
            raise UsageError(
                f"{file}: secure_boot in [secure] is {secure.secure_boot!r}; {mcu} can: {kinds}."
            )
        if mcu == "esp32c2" and not (secure.secure_boot and secure.flash_encryption):
            raise UsageError(
                f"{file}: the ESP32-C2 has one eFuse block for the keys of both: with one of "
                "secure_boot and flash_encryption alone the other can never be had. Say both."
            )
        return secure

    def options(self, mcu: str, table_offset: int) -> list[str]:
        """Return the lines of a fragment for ESP-IDF. Signing is done here, after the build: no key
        goes where the compiler runs."""
        if not self:
            return []
        lines = [f"CONFIG_PARTITION_TABLE_OFFSET={table_offset:#x}"]
        if self.secure_boot:
            lines += ["CONFIG_SECURE_BOOT=y", "CONFIG_SECURE_BOOT_V2_ENABLED=y"]
            lines += [_REVISIONS[mcu]] if mcu in _REVISIONS else []
            lines += [*_SCHEMES[self.secure_boot], "CONFIG_SECURE_BOOT_BUILD_SIGNED_BINARIES=n"]
            # Every boot checks the signature, out of deep sleep, too.
            lines += ["CONFIG_BOOTLOADER_SKIP_VALIDATE_IN_DEEP_SLEEP=n"]
        if self.flash_encryption:
            lines += ["CONFIG_SECURE_FLASH_ENC_ENABLED=y", _MODES[self.flash_encryption]]
            lines += ["CONFIG_NVS_ENCRYPTION=y", "CONFIG_NVS_SEC_KEY_PROTECT_USING_FLASH_ENC=y"]
        return lines

    def steps(self, name: str) -> list[str]:
        """Return what people have to know and do before the first boot of the board `name`."""
        steps = [
            f"Board {name} is secured: {self.words}. Its first boot burns eFuses of the chip. That "
            "can never be undone, and a chip with a wrong key or image in it is lost."
        ]
        if self.secure_boot:
            steps.append(
                "Secure boot: from then on the chip starts only what is signed with this very key. "
                "Have a copy of the key in a safe place: who loses it can never update the board "
                "again. The bootloader can be written over USB no more."
            )
        if self.flash_encryption == DEVELOPMENT:
            steps.append(
                "Flash encryption, development: for trying it out, NOT for boards that leave the "
                "desk. Who has the board can have its chip encrypt whatever he writes."
            )
        if self.flash_encryption == RELEASE:
            steps.append(
                "Flash encryption, release: this is the last time that anything is written over "
                "USB. From then on updates come over MQTT only; files and configuration, too."
            )
        if self.flash_encryption:
            steps.append(
                "The first boot encrypts bootloader, table, slots, NVS keys and filesystem in "
                "place, for a minute or more. Without power in between the chip may be lost: keep "
                "it on until the board is at its broker. What is written over USB later has to be "
                "encrypted, so bring the configuration along now: mqboard provision --firmware "
                f"--board {name}."
            )
        steps.append(
            "Updates over MQTT need what they needed before, an offer signed with our key"
            + (", and an image signed with the key of secure boot" * bool(self.secure_boot))
            + ". Read docs/secure-boot.md, and try it with a board that you can spare."
        )
        return steps

    @property
    def words(self) -> str:
        """What it is, for people."""
        parts = [f"secure boot with {self.secure_boot}"] if self.secure_boot else []
        if self.flash_encryption:
            parts.append(f"flash encryption ({self.flash_encryption})")
        return " and ".join(parts) or "none"
