"""Knows the ESP32 chips: their names and numbers, and what a board made with one can have.

Sources: ESP-IDF v5.5.1, `esp_chip_id_t` (esp_app_format.h), BOOTLOADER_OFFSET_IN_FLASH
(components/bootloader/Kconfig.projbuild), programming guide, "Secure Boot v2" of each chip;
MicroPython v1.28.0, ports/esp32/boards (PSRAM).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Chip:
    """A kind of chip.

    `mcu` is its name in MicroPython and ESP-IDF, `number` the one in an app image's header;
    `flash_offset`: where its ROM looks for the bootloader; `spiram`: for each kind of PSRAM that
    MicroPython supports on it, MicroPython's sdkconfig fragments; `secure_boot`: the kinds of keys
    that its secure boot (version 2) takes, the better one first.
    """

    mcu: str
    title: str
    number: int
    flash_offset: int
    spiram: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    secure_boot: tuple[str, ...] = ("rsa3072",)


_SX = "boards/sdkconfig.spiram_sx"
_OCTAL = (_SX, "boards/sdkconfig.240mhz", "boards/sdkconfig.spiram_oct")

CHIPS: Mapping[str, Chip] = {
    chip.mcu: chip
    for chip in (
        Chip("esp32", "ESP32", 0, 0x1000, {"quad": ("boards/sdkconfig.spiram",)}),
        Chip("esp32s2", "ESP32-S2", 2, 0x1000, {"quad": (_SX,)}),
        Chip("esp32s3", "ESP32-S3", 9, 0, {"quad": (_SX,), "octal": _OCTAL}),
        Chip("esp32c2", "ESP32-C2", 12, 0, secure_boot=("ecdsa256",)),
        Chip("esp32c3", "ESP32-C3", 5, 0),
        # Its ECDSA would take wrong signatures: newer ESP-IDF offers it as insecure only.
        Chip("esp32c5", "ESP32-C5", 23, 0x2000),
        Chip("esp32c6", "ESP32-C6", 13, 0, secure_boot=("rsa3072", "ecdsa256")),
    )
}
