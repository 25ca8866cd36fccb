# MicroPython's side of this board; docs/boards.md says what each file here is for.
set(IDF_TARGET esp32s2)

set(SDKCONFIG_DEFAULTS
    boards/sdkconfig.base
)

include(${MICROPY_BOARD_DIR}/../common/mqboard.cmake)
