# MicroPython's side of this board; docs/boards.md says what each file here is for.
set(IDF_TARGET esp32c2)

set(SDKCONFIG_DEFAULTS
    boards/sdkconfig.base
    boards/sdkconfig.c2
    boards/sdkconfig.free_ram
)

include(${MICROPY_BOARD_DIR}/../common/mqboard.cmake)
