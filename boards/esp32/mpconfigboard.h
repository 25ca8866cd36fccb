// The names that MicroPython tells (sys.implementation, help()), and what is left out of it.
#define MICROPY_HW_BOARD_NAME "MQBoard ESP32"
#define MICROPY_HW_MCU_NAME "ESP32"

// Bluetooth is off in sdkconfig.common, too.
#define MICROPY_PY_BLUETOOTH (0)
