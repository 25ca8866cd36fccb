// MicroPython's own variant, and Ctrl-C as an ESP32 takes it: between two bytecodes. The unix port
// would leave whatever is under way, with the heap locked if that is the garbage collector.
#include_next "mpconfigvariant.h"
#undef MICROPY_ASYNC_KBD_INTR
#define MICROPY_ASYNC_KBD_INTR (0)
// What os.dupterm then compares its input with; the unix port has signals, and no such character.
__attribute__((weak)) int mp_interrupt_char = -1;
