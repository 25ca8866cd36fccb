// The system's mbedTLS as it is, without its debug messages: a source tree that turns them on
// would print every TLS record on the board's console.
#if __has_include(<mbedtls/mbedtls_config.h>)
#include <mbedtls/mbedtls_config.h>
#else
#include <mbedtls/config.h>
#endif
#undef MBEDTLS_DEBUG_C
