// The names that MicroPython tells (sys.implementation, help()), and what is left out of it.
#define MICROPY_HW_BOARD_NAME "MQBoard ESP32-S3 with octal PSRAM"
#define MICROPY_HW_MCU_NAME "ESP32S3"

// Bluetooth is off in sdkconfig.common, too.
#define MICROPY_PY_BLUETOOTH (0)

// A console on the UART pins as well, for modules with a USB chip of their own.
#define MICROPY_HW_ENABLE_UART_REPL (1)

// The pins of I2C(0), as on MicroPython's own board.
#define MICROPY_HW_I2C0_SCL (9)
#define MICROPY_HW_I2C0_SDA (8)
