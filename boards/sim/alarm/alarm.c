// Waits for the simulated board's timers, in a thread that MicroPython does not know of.
//
// The port's own threads will not do. They have no GIL, so that a collection that begins in one of
// them frees what the main thread has just taken in its hand; and one that begins in the main
// thread has each of them look through its stack first, by a signal, for which it does not wait if
// a Ctrl-C comes meanwhile. This thread touches nothing of the heap: it schedules a callback.

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "py/mpthread.h"
#include "py/mphal.h"
#include "py/runtime.h"

#define ALARMS (4)
#define NANOSECONDS (1000000000LL)

typedef struct _alarm_t {
    int64_t due;     // when to call back, in ns of CLOCK_MONOTONIC; 0: never
    int64_t period;  // from then to the next time, in ns; 0: once
} alarm_t;

// Their callbacks and what those get; the collector must see them.
MP_REGISTER_ROOT_POINTER(mp_obj_t alarm_functions[4]);
MP_REGISTER_ROOT_POINTER(mp_obj_t alarm_arguments[4]);

static alarm_t alarms[ALARMS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news;
static bool started;

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NANOSECONDS + time.tv_nsec;
}

// Schedule what is due, and return when the next one is; 0 if none is set. With the mutex held.
static int64_t look(void) {
    int64_t next = 0;
    for (size_t i = 0; i < ALARMS; i++) {
        alarm_t *alarm = &alarms[i];
        int64_t time = now();
        if (alarm->due && alarm->due <= time) {
            // If the queue is full this turn is lost, as on a chip.
            mp_sched_schedule(MP_STATE_VM(alarm_functions)[i], MP_STATE_VM(alarm_arguments)[i]);
            alarm->due = alarm->period ? time + alarm->period : 0;
        }
        if (alarm->due && (!next || alarm->due < next)) {
            next = alarm->due;
        }
    }
    return next;
}

static void *wait(void *unused) {
    pthread_mutex_lock(&mutex);
    for (;;) {
        int64_t next = look();
        if (next) {
            struct timespec until = { next / NANOSECONDS, next % NANOSECONDS };
            pthread_cond_timedwait(&news, &mutex, &until);
        } else {
            pthread_cond_wait(&news, &mutex);
        }
    }
    return NULL;
}

// Start the thread. Signals, as that of a Ctrl-C, are for the main one.
static int start(void) {
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&news, &clock);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int error = pthread_create(&thread, NULL, wait, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

// set(number, microseconds, periodic, function, argument): schedule function(argument) after that
// time, once or for ever; whatever the alarm of that number was set to before is forgotten.
static mp_obj_t alarm_set(size_t n_args, const mp_obj_t *args) {
    mp_int_t number = mp_obj_get_int(args[0]);
    if (number < 0 || number >= ALARMS) {
        mp_raise_ValueError(MP_ERROR_TEXT("invalid alarm number"));
    }
    int64_t period = 1000LL * mp_obj_get_int(args[1]);
    if (!started) {
        int error = start();
        if (error) {
            mp_raise_OSError(error);
        }
        started = true;
    }
    pthread_mutex_lock(&mutex);
    MP_STATE_VM(alarm_functions)[number] = args[3];
    MP_STATE_VM(alarm_arguments)[number] = args[4];
    alarms[number].due = now() + period;
    alarms[number].period = mp_obj_is_true(args[2]) ? period : 0;
    pthread_cond_signal(&news);
    pthread_mutex_unlock(&mutex);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(alarm_set_obj, 5, 5, alarm_set);

// clear(number): forget what it was set to. A callback that is scheduled already comes all the same.
static mp_obj_t alarm_clear(mp_obj_t which) {
    mp_int_t number = mp_obj_get_int(which);
    if (number < 0 || number >= ALARMS) {
        mp_raise_ValueError(MP_ERROR_TEXT("invalid alarm number"));
    }
    pthread_mutex_lock(&mutex);
    alarms[number].due = 0;
    MP_STATE_VM(alarm_functions)[number] = MP_OBJ_NULL;
    MP_STATE_VM(alarm_arguments)[number] = MP_OBJ_NULL;
    pthread_mutex_unlock(&mutex);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(alarm_clear_obj, alarm_clear);

static const mp_rom_map_elem_t alarm_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__alarm) },
    { MP_ROM_QSTR(MP_QSTR_set), MP_ROM_PTR(&alarm_set_obj) },
    { MP_ROM_QSTR(MP_QSTR_clear), MP_ROM_PTR(&alarm_clear_obj) },
};
static MP_DEFINE_CONST_DICT(alarm_globals, alarm_globals_table);

const mp_obj_module_t alarm_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&alarm_globals,
};

MP_REGISTER_MODULE(MP_QSTR__alarm, alarm_module);
