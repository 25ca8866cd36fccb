// Gives a TLS connection of MicroPython's module tls a pre-shared key (RFC 4279, RFC 5489) in place
// of certificates:
//
//     context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
//     context.verify_mode = tls.CERT_NONE      # there is no certificate: who has the key is it
//     tlspsk.use(context, identity, key)       # two objects with bytes; raises ValueError
//     sock = context.wrap_socket(stream, do_handshake_on_connect=False)
//     tlspsk.watch(sock)
//     tlspsk.done(sock)                        # whether the handshake is over
//     tlspsk.last()                            # the last byte that came for the one watched last:
//                                              # of an alert, what it says (RFC 5246, 7.2)
//
// MicroPython's releases up to v1.28 have no call for it, and keep the structs of extmod/modtls_mbedtls.c
// to themselves. What is needed here is how these begin. That is looked at before it is used, by
// pointers that are only there where mbedTLS's own structs are expected.

#include "py/runtime.h"

#if MICROPY_PY_SSL && MICROPY_SSL_MBEDTLS

#include "mbedtls/version.h"
#include "mbedtls/ssl.h"
#include "mbedtls/entropy.h"
#include "mbedtls/ctr_drbg.h"

// As mbedTLS 3 and 2 call it. Built without, there is no module.
#if defined(MBEDTLS_SSL_HANDSHAKE_WITH_PSK_ENABLED) || defined(MBEDTLS_KEY_EXCHANGE_SOME_PSK_ENABLED)

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define FIELD(name) name
#else
#define FIELD(name) MBEDTLS_PRIVATE(name)
#endif

// The beginning of an SSLContext, and of an SSLSocket.
typedef struct {
    mp_obj_base_t base;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context ctr_drbg;
    mbedtls_ssl_config conf;
} context_t;

typedef struct {
    mp_obj_base_t base;
    context_t *context;
    mp_obj_t sock;
    mbedtls_ssl_context ssl;
} socket_t;

// Only with a key, so that no certificate is ever taken in its place. The first ones also keep what
// was sent a secret if the key gets known later; a broker without elliptic curves takes the others.
static const int suites[] = {
    MBEDTLS_TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256,
    MBEDTLS_TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA384,
    MBEDTLS_TLS_PSK_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_PSK_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_PSK_WITH_AES_128_CBC_SHA256,
    0,
};

static mbedtls_ssl_recv_t *receive; // modtls_mbedtls.c's, the same for all sockets
static unsigned char last_byte;

static bool is_of(mp_obj_t object, qstr name) {
    return mp_obj_is_obj(object) && mp_obj_get_type(object)->name == name;
}

static mp_obj_t use(mp_obj_t context_in, mp_obj_t identity_in, mp_obj_t key_in) {
    context_t *context = MP_OBJ_TO_PTR(context_in);
    if (!is_of(context_in, MP_QSTR_SSLContext)
        || context->conf.FIELD(p_rng) != &context->ctr_drbg
        || context->conf.FIELD(p_vrfy) != context) {
        mp_raise_ValueError(MP_ERROR_TEXT("no SSLContext that is known here"));
    }
    mp_buffer_info_t identity, key;
    mp_get_buffer_raise(identity_in, &identity, MP_BUFFER_READ);
    mp_get_buffer_raise(key_in, &key, MP_BUFFER_READ);
    // Copies both.
    if (mbedtls_ssl_conf_psk(&context->conf, key.buf, key.len, identity.buf, identity.len) != 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("identity or key"));
    }
    mbedtls_ssl_conf_ciphersuites(&context->conf, suites);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(use_obj, use);

// Returns mbedTLS's part of an SSLSocket; NULL after an error, and when it is closed: then it is all
// zeros.
static mbedtls_ssl_context *ssl_of(mp_obj_t socket_in) {
    if (!is_of(socket_in, MP_QSTR_SSLSocket)) {
        mp_raise_ValueError(MP_ERROR_TEXT("no SSLSocket that is known here"));
    }
    socket_t *sock = MP_OBJ_TO_PTR(socket_in);
    return sock->ssl.FIELD(conf) == &sock->context->conf ? &sock->ssl : NULL;
}

static int receive_watched(void *sock, unsigned char *buffer, size_t size) {
    int count = receive(sock, buffer, size);
    if (count > 0) {
        last_byte = buffer[count - 1];
    }
    return count;
}

// After a failure nothing is left of mbedTLS's state but the number of the error, which is the same
// for all alerts.
static mp_obj_t watch(mp_obj_t socket_in) {
    mbedtls_ssl_context *ssl = ssl_of(socket_in);
    last_byte = 0;
    if (ssl != NULL && ssl->FIELD(f_recv) != receive_watched) {
        receive = ssl->FIELD(f_recv);
        ssl->FIELD(f_recv) = receive_watched;
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(watch_obj, watch);

static mp_obj_t last(void) {
    return MP_OBJ_NEW_SMALL_INT(last_byte);
}
static MP_DEFINE_CONST_FUN_OBJ_0(last_obj, last);

static mp_obj_t done(mp_obj_t socket_in) {
    mbedtls_ssl_context *ssl = ssl_of(socket_in);
    return mp_obj_new_bool(ssl != NULL && ssl->FIELD(state) == MBEDTLS_SSL_HANDSHAKE_OVER);
}
static MP_DEFINE_CONST_FUN_OBJ_1(done_obj, done);

static const mp_rom_map_elem_t globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_tlspsk) },
    { MP_ROM_QSTR(MP_QSTR_use), MP_ROM_PTR(&use_obj) },
    { MP_ROM_QSTR(MP_QSTR_watch), MP_ROM_PTR(&watch_obj) },
    { MP_ROM_QSTR(MP_QSTR_done), MP_ROM_PTR(&done_obj) },
    { MP_ROM_QSTR(MP_QSTR_last), MP_ROM_PTR(&last_obj) },
};
static MP_DEFINE_CONST_DICT(globals, globals_table);

const mp_obj_module_t tlspsk_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&globals,
};

MP_REGISTER_MODULE(MP_QSTR_tlspsk, tlspsk_module);

#endif
#endif
