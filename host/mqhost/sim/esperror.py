"""Defines the ESP-IDF errors that the simulated chip reports, by the codes of its C headers.

On a board they surface as OSError(-code, name), which is how the ESP32 port raises them.
"""


class EspError(Exception):
    """An ESP-IDF call failed. `code` is its esp_err_t, `name` the C name."""

    code = -1
    name = "ESP_FAIL"


class InvalidArgument(EspError):
    """An address or a number that the call cannot take."""

    code = 0x102
    name = "ESP_ERR_INVALID_ARG"


class InvalidSize(EspError):
    """A size that the call cannot take."""

    code = 0x104
    name = "ESP_ERR_INVALID_SIZE"


class NvsNotFound(EspError):
    """There is no such key."""

    code = 0x1102
    name = "ESP_ERR_NVS_NOT_FOUND"


class NvsTypeMismatch(EspError):
    """The key holds a value of another type."""

    code = 0x1103
    name = "ESP_ERR_NVS_TYPE_MISMATCH"


class NvsNotEnoughSpace(EspError):
    """The value does not fit in."""

    code = 0x1105
    name = "ESP_ERR_NVS_NOT_ENOUGH_SPACE"


class NvsInvalidName(EspError):
    """An empty key or namespace."""

    code = 0x1106
    name = "ESP_ERR_NVS_INVALID_NAME"


class NvsKeyTooLong(EspError):
    """A key or namespace of more than 15 characters."""

    code = 0x1109
    name = "ESP_ERR_NVS_KEY_TOO_LONG"


class NvsInvalidLength(EspError):
    """The buffer is too small for the value."""

    code = 0x110C
    name = "ESP_ERR_NVS_INVALID_LENGTH"


class OtaValidateFailed(EspError):
    """The slot holds no image that verifies."""

    code = 0x1503
    name = "ESP_ERR_OTA_VALIDATE_FAILED"


class WifiNotStarted(EspError):
    """The interface is not active."""

    code = 0x3002
    name = "ESP_ERR_WIFI_NOT_STARTED"
