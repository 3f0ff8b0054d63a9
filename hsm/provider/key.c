/*
 * Key management: enough for libssl to choose the key, to compare it with its certificate, and to come back to us for signatures.
 *
 * The private part is never exported, so OpenSSL cannot hand the key to another provider. Nothing is imported and nothing verified,
 * so no key of somebody else ever ends up here.
 */
#include <openssl/core_names.h>
#include <openssl/params.h>

#include "wardkeys.h"

/* The names of the default provider, so that both mean the same type. */
#define RSA_NAMES "RSA:rsaEncryption:1.2.840.113549.1.1.1"
#define EC_NAMES "EC:id-ecPublicKey:1.2.840.10045.2.1"

struct ward_key *ward_key_use(struct ward_key *key)
{
    atomic_fetch_add(&key->users, 1);
    return key;
}

void ward_key_free(void *data)
{
    struct ward_key *key = data;

    if (key == NULL || atomic_fetch_sub(&key->users, 1) != 1)
        return;
    ward_check_free(atomic_load(&key->check));
    EVP_PKEY_free(key->public_key);
    OPENSSL_free(key);
}

/* Takes over what the decoder made. */
static void *key_load(const void *reference, size_t size)
{
    struct ward_key *key;

    if (size != sizeof(key))
        return NULL;
    key = *(struct ward_key *const *)reference;
    *(struct ward_key **)reference = NULL;
    return key;
}

static int key_has(const void *key, int selection)
{
    (void)selection; /* parameters, public and private part are all there */
    return key != NULL;
}

static int key_get_params(void *key, OSSL_PARAM params[])
{
    return EVP_PKEY_get_params(((struct ward_key *)key)->public_key, params);
}

static int key_export(void *data, int selection, OSSL_CALLBACK *take, void *argument)
{
    const struct ward_key *key = data;
    OSSL_PARAM *params = NULL;
    int done;

    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 || !EVP_PKEY_todata(key->public_key, EVP_PKEY_PUBLIC_KEY, &params))
        return 0;
    done = take(params, argument);
    OSSL_PARAM_free(params);
    return done;
}

#define COMMON_PARAMS                                                                                                                     \
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL), OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),                                      \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL), OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0)

static const OSSL_PARAM rsa_public[] = {
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
    OSSL_PARAM_END,
};
static const OSSL_PARAM ec_public[] = {
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_END,
};
static const OSSL_PARAM rsa_gettable[] = {
    COMMON_PARAMS,
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
    OSSL_PARAM_END,
};
static const OSSL_PARAM ec_gettable[] = {
    COMMON_PARAMS,
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_FIELD_TYPE, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *rsa_export_types(int selection)
{
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 ? NULL : rsa_public;
}

static const OSSL_PARAM *ec_export_types(int selection)
{
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 ? NULL : ec_public;
}

static const OSSL_PARAM *rsa_gettable_params(void *provider)
{
    (void)provider;
    return rsa_gettable;
}

static const OSSL_PARAM *ec_gettable_params(void *provider)
{
    (void)provider;
    return ec_gettable;
}

static const char *rsa_operation_name(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "RSA" : NULL;
}

static const char *ec_operation_name(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

#define FUNCTIONS(kind)                                                                                                                   \
    static const OSSL_DISPATCH kind##_functions[] = {                                                                                     \
        {OSSL_FUNC_KEYMGMT_FREE, (void (*)(void))ward_key_free},                                                                          \
        {OSSL_FUNC_KEYMGMT_LOAD, (void (*)(void))key_load},                                                                               \
        {OSSL_FUNC_KEYMGMT_HAS, (void (*)(void))key_has},                                                                                 \
        {OSSL_FUNC_KEYMGMT_GET_PARAMS, (void (*)(void))key_get_params},                                                                   \
        {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))kind##_gettable_params},                                                      \
        {OSSL_FUNC_KEYMGMT_EXPORT, (void (*)(void))key_export},                                                                           \
        {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void))kind##_export_types},                                                            \
        {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))kind##_operation_name},                                                  \
        {0, NULL},                                                                                                                        \
    }
FUNCTIONS(rsa);
FUNCTIONS(ec);

const OSSL_ALGORITHM ward_keymgmt[] = {
    {RSA_NAMES, WARD_PROPERTIES, rsa_functions, "RSA keys in a token"},
    {EC_NAMES, WARD_PROPERTIES, ec_functions, "EC keys in a token"},
    {NULL, NULL, NULL, NULL},
};
