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

# Fragments are read as they are, without variables, so the place of the partition table, which must
# be absolute, is written by each configuration.
set(MQBOARD_PARTITIONS_FRAGMENT ${CMAKE_BINARY_DIR}/sdkconfig.partitions)
file(WRITE ${MQBOARD_PARTITIONS_FRAGMENT}
    "CONFIG_PARTITION_TABLE_CUSTOM=y\n"
    "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME=\"${MICROPY_BOARD_DIR}/partitions.csv\"\n"
)

list(APPEND SDKCONFIG_DEFAULTS
    ${CMAKE_CURRENT_LIST_DIR}/sdkconfig.common
    ${MICROPY_BOARD_DIR}/sdkconfig.board
    ${MQBOARD_PARTITIONS_FRAGMENT}
)

# invoke build --sdkconfig FILE: the very last word.
if(MQBOARD_SDKCONFIG)
    list(APPEND SDKCONFIG_DEFAULTS ${MQBOARD_SDKCONFIG})
endif()
