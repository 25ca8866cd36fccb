# What our ESP32 boards have in common. A board's mpconfigboard.cmake includes this after it has set
# IDF_TARGET and put MicroPython's own fragments into SDKCONFIG_DEFAULTS; of an option that several
# fragments set, the last one counts.

# Would need a submodule, and nothing here uses it.
set(MICROPY_PY_BTREE OFF)

# Modules in C.
list(APPEND USER_C_MODULES ${CMAKE_CURRENT_LIST_DIR}/tlspsk/micropython.cmake)
# Those of a project: c_modules in its mqboard.toml.
if(MQBOARD_C_MODULES)
    include(${MQBOARD_C_MODULES})
endif()

# PSRAM: spiram in board.toml, and MicroPython's fragments for that kind (mqhost.flash.chips).
if(MQBOARD_SPIRAM STREQUAL "quad" AND IDF_TARGET STREQUAL "esp32")
    list(APPEND SDKCONFIG_DEFAULTS boards/sdkconfig.spiram)
elseif(MQBOARD_SPIRAM)
    list(APPEND SDKCONFIG_DEFAULTS boards/sdkconfig.spiram_sx)
endif()
if(MQBOARD_SPIRAM STREQUAL "octal")
    list(APPEND SDKCONFIG_DEFAULTS boards/sdkconfig.240mhz boards/sdkconfig.spiram_oct)
endif()

# mqhost computes the partition table and hands it in. A board with a table of its own can be built
# without mqhost, too.
if(NOT MQBOARD_PARTITIONS)
    set(MQBOARD_PARTITIONS ${MICROPY_BOARD_DIR}/partitions.csv)
endif()
if(NOT EXISTS ${MQBOARD_PARTITIONS})
    message(FATAL_ERROR "There is no partition table ${MQBOARD_PARTITIONS}. invoke build computes "
        "one; without it, name one: -DMQBOARD_PARTITIONS=FILE.")
endif()

# Fragments are read as they are, without variables, so the place of the partition table, which must
# be absolute, is written by each configuration.
set(MQBOARD_PARTITIONS_FRAGMENT ${CMAKE_BINARY_DIR}/sdkconfig.partitions)
file(WRITE ${MQBOARD_PARTITIONS_FRAGMENT}
    "CONFIG_PARTITION_TABLE_CUSTOM=y\n"
    "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME=\"${MQBOARD_PARTITIONS}\"\n"
)

list(APPEND SDKCONFIG_DEFAULTS
    ${CMAKE_CURRENT_LIST_DIR}/sdkconfig.common
    ${MICROPY_BOARD_DIR}/sdkconfig.board
    ${MQBOARD_PARTITIONS_FRAGMENT}
)

# What follows from board.toml, then invoke build --sdkconfig FILE: the very last word.
if(MQBOARD_SDKCONFIG)
    list(APPEND SDKCONFIG_DEFAULTS ${MQBOARD_SDKCONFIG})
endif()
