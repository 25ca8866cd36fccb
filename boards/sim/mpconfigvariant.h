// MicroPython's own variant, and Ctrl-C as an ESP32 takes it: between two bytecodes. The unix port
// would leave whatever is under way, with the heap locked if that is the garbage collector.
#include_next "mpconfigvariant.h"
#undef MICROPY_ASYNC_KBD_INTR
#define MICROPY_ASYNC_KBD_INTR (0)
// As on the ESP32 port, os.dupterm_notify takes the input of what os.dupterm was given: a Ctrl-C is
// one to come. Nothing else has ever to be kept.
#define MICROPY_PY_OS_DUPTERM_NOTIFY (1)
#include "py/ringbuf.h"
__attribute__((weak)) int mp_interrupt_char = 3;
__attribute__((weak)) struct _ringbuf_t stdin_ringbuf;
