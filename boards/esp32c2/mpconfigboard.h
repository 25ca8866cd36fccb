// The names that MicroPython tells (sys.implementation, help()), and what is left out of it.
#define MICROPY_HW_BOARD_NAME "MQBoard ESP32-C2"
#define MICROPY_HW_MCU_NAME "ESP32C2"

// Bluetooth is off in sdkconfig.common, too.
#define MICROPY_PY_BLUETOOTH (0)

// What the chip has no circuits for.
#define MICROPY_HW_ENABLE_SDCARD (0)
#define MICROPY_PY_MACHINE_I2S (0)
