/*
 * Entry of the provider, and what it tells about failures.
 *
 * libssl puts an error of its own over ours, and Python shows only the last one. So the failure of a thread's last signature is kept
 * here and read as a parameter of the provider, by the thread whose handshake failed.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "wardkeys.h"

#define PARAM_CODE "wardkeys-code"             /* unsigned: 0, or the number of the failure */
#define PARAM_DETAIL "wardkeys-detail"         /* text */
#define PARAM_SIGNATURES "wardkeys-signatures" /* uint64: signatures that this thread has asked for */

static _Thread_local struct {
    unsigned code;
    char detail[200];
    uint64_t signatures;
} last;

static atomic_bool process_ends;

__attribute__((visibility("default"))) OSSL_provider_init_fn OSSL_provider_init;

void ward_clear_failure(void)
{
    last.code = WARD_FINE;
    last.detail[0] = '\0';
}

void ward_count_signature(void)
{
    last.signatures++;
}

/*
 * OPENSSL_cleanup() takes everything away while a thread may wait for a card: such a thread never comes back, the process is gone soon.
 * The handler is called first thing there; teardown would come too late, or not at all while a signature is being made.
 */
static void mark_end(void)
{
    atomic_store(&process_ends, true);
}

void ward_stay_if_process_ends(void)
{
    while (atomic_load(&process_ends))
        (void)pause();
}

static void raise_error(const struct ward_provider *provider, unsigned code, ...)
{
    va_list arguments;

    va_start(arguments, code);
    provider->new_error(provider->handle);
    provider->set_error(provider->handle, code, "%s", arguments);
    va_end(arguments);
}

int ward_fail(const struct ward_provider *provider, unsigned code, const char *format, ...)
{
    va_list arguments;

    last.code = code;
    va_start(arguments, format);
    (void)vsnprintf(last.detail, sizeof(last.detail), format, arguments);
    va_end(arguments);
    raise_error(provider, code, last.detail);
    return 0;
}

static const OSSL_PARAM gettable[] = {
    OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, NULL, 0),
    OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, NULL),
    OSSL_PARAM_uint(PARAM_CODE, NULL),
    OSSL_PARAM_utf8_string(PARAM_DETAIL, NULL, 0),
    OSSL_PARAM_uint64(PARAM_SIGNATURES, NULL),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *provider_gettable_params(void *provider)
{
    (void)provider;
    return gettable;
}

static int provider_get_params(void *provider, OSSL_PARAM params[])
{
    OSSL_PARAM *p;

    (void)provider;
    if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_NAME)) != NULL && !OSSL_PARAM_set_utf8_ptr(p, "Wardgate keys in a token"))
        return 0;
    if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS)) != NULL && !OSSL_PARAM_set_int(p, 1))
        return 0;
    if ((p = OSSL_PARAM_locate(params, PARAM_DETAIL)) != NULL && !OSSL_PARAM_set_utf8_string(p, last.detail))
        return 0;
    if ((p = OSSL_PARAM_locate(params, PARAM_CODE)) != NULL) { /* told once: it is not the reason of a later failure */
        if (!OSSL_PARAM_set_uint(p, last.code))
            return 0;
        ward_clear_failure();
    }
    if ((p = OSSL_PARAM_locate(params, PARAM_SIGNATURES)) != NULL && !OSSL_PARAM_set_uint64(p, last.signatures))
        return 0;
    return 1;
}

static const OSSL_ALGORITHM *provider_query(void *provider, int operation, int *no_cache)
{
    (void)provider;
    *no_cache = 0;
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        return ward_keymgmt;
    case OSSL_OP_DECODER:
        return ward_decoder;
    case OSSL_OP_SIGNATURE:
        return ward_signature;
    default:
        return NULL;
    }
}

static const OSSL_ITEM reasons[] = {
    {WARD_UNREACHABLE, "the key service cannot be reached"},
    {WARD_TIMEOUT, "no signature in time"},
    {WARD_BROKE, "the key service broke off"},
    {WARD_NOT_OURS, "the signature is not of the certificate's key"},
    {WARD_SCHEME, "this kind of signature is not made"},
    {0, NULL},
};

static const OSSL_ITEM *provider_reasons(void *provider)
{
    (void)provider;
    return reasons;
}

static void provider_teardown(void *context)
{
    struct ward_provider *provider = context;

    ward_free_digests(provider);
    OSSL_LIB_CTX_free(provider->own);
    OPENSSL_free(provider);
}

static const OSSL_DISPATCH functions[] = {
    {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))provider_teardown},
    {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))provider_gettable_params},
    {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))provider_get_params},
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))provider_query},
    {OSSL_FUNC_PROVIDER_GET_REASON_STRINGS, (void (*)(void))provider_reasons},
    {0, NULL},
};

int OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **context)
{
    struct ward_provider *provider = OPENSSL_zalloc(sizeof(*provider));

    if (provider == NULL)
        return 0;
    provider->handle = handle;
    for (; in->function_id != 0; in++) {
        switch (in->function_id) {
        case OSSL_FUNC_CORE_NEW_ERROR:
            provider->new_error = OSSL_FUNC_core_new_error(in);
            break;
        case OSSL_FUNC_CORE_VSET_ERROR:
            provider->set_error = OSSL_FUNC_core_vset_error(in);
            break;
        case OSSL_FUNC_BIO_READ_EX:
            provider->bio_read = OSSL_FUNC_BIO_read_ex(in);
            break;
        default:
            break;
        }
    }
    provider->own = OSSL_LIB_CTX_new();
    if (!OPENSSL_atexit(mark_end) || provider->own == NULL || provider->new_error == NULL || provider->set_error == NULL || provider->bio_read == NULL
        || !ward_fetch_digests(provider)) {
        provider_teardown(provider);
        return 0;
    }
    *context = provider;
    *out = functions;
    return 1;
}
