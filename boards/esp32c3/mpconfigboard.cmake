# MicroPython's side of this board; docs/boards.md says what each file here is for.
set(IDF_TARGET esp32c3)

set(SDKCONFIG_DEFAULTS
    boards/sdkconfig.base
    boards/ESP32_GENERIC_C3/sdkconfig.c3usb
)

include(${MICROPY_BOARD_DIR}/../common/mqboard.cmake)
