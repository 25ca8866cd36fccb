// The names that MicroPython tells (sys.implementation, help()), and what is left out of it.
#define MICROPY_HW_BOARD_NAME "MQBoard ESP32-C5"
#define MICROPY_HW_MCU_NAME "ESP32C5"

// Bluetooth is off in sdkconfig.common, too.
#define MICROPY_PY_BLUETOOTH (0)

#define MICROPY_PY_MACHINE_I2S (0)

// A console on the UART pins as well, for modules with a USB chip of their own.
#define MICROPY_HW_ENABLE_UART_REPL (1)
