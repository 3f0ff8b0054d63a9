/*
 * ECDSA, RSA PKCS#1 v1.5 and RSA-PSS with SHA-256, SHA-384 or SHA-512: the hash is made here, the signature by the key service.
 *
 * An RSA signature is checked before it is shown to anybody: one with a fault in it can give the key away (Boneh, DeMillo, Lipton,
 * 1997). An ECDSA one is checked until the first was good: a wrong key is then named here, and not by the peer's "decrypt error".
 */
#include <stdio.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "wardkeys.h"

struct signature {
    const struct ward_provider *provider;
    struct ward_key *key;
    const EVP_MD *digest; /* one of the provider's */
    EVP_MD_CTX *hash;
    int padding; /* RSA_PKCS1_PADDING or RSA_PKCS1_PSS_PADDING */
};

static const struct {
    const char *openssl, *service;
} digest_names[WARD_DIGESTS] = {{"SHA2-256", "sha256"}, {"SHA2-384", "sha384"}, {"SHA2-512", "sha512"}};

bool ward_fetch_digests(struct ward_provider *provider)
{
    for (size_t i = 0; i < WARD_DIGESTS; i++)
        if ((provider->digests[i] = EVP_MD_fetch(provider->own, digest_names[i].openssl, NULL)) == NULL)
            return false;
    return true;
}

void ward_free_digests(struct ward_provider *provider)
{
    for (size_t i = 0; i < WARD_DIGESTS; i++)
        EVP_MD_free(provider->digests[i]);
}

static const char *service_name(const struct signature *ctx)
{
    for (size_t i = 0; i < WARD_DIGESTS; i++)
        if (ctx->digest == ctx->provider->digests[i])
            return digest_names[i].service;
    return "";
}

static void *signature_new(void *provider, const char *properties)
{
    struct signature *ctx = OPENSSL_zalloc(sizeof(*ctx));

    (void)properties;
    if (ctx == NULL)
        return NULL;
    ctx->provider = provider;
    ctx->padding = RSA_PKCS1_PADDING;
    return ctx;
}

static void signature_free(void *context)
{
    struct signature *ctx = context;

    if (ctx == NULL)
        return;
    EVP_MD_CTX_free(ctx->hash);
    ward_key_free(ctx->key);
    OPENSSL_free(ctx);
}

static void *signature_dup(void *context)
{
    const struct signature *from = context;
    struct signature *ctx = OPENSSL_memdup(from, sizeof(*from));

    if (ctx == NULL)
        return NULL;
    ctx->hash = NULL;
    if (ctx->key != NULL)
        (void)ward_key_use(ctx->key);
    if (from->hash != NULL && ((ctx->hash = EVP_MD_CTX_new()) == NULL || !EVP_MD_CTX_copy_ex(ctx->hash, from->hash))) {
        signature_free(ctx);
        return NULL;
    }
    return ctx;
}

static int set_digest(struct signature *ctx, const char *name)
{
    for (size_t i = 0; i < WARD_DIGESTS; i++)
        if (EVP_MD_is_a(ctx->provider->digests[i], name)) {
            ctx->digest = ctx->provider->digests[i];
            return 1;
        }
    return ward_fail(ctx->provider, WARD_SCHEME, "digest %s", name);
}

static int set_padding(struct signature *ctx, const OSSL_PARAM *p)
{
    int padding = 0;

    if (p->data_type == OSSL_PARAM_UTF8_STRING && p->data != NULL)
        padding = strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0 ? RSA_PKCS1_PSS_PADDING
                  : strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0 ? RSA_PKCS1_PADDING
                                                                         : 0;
    else
        (void)OSSL_PARAM_get_int(p, &padding);
    if (padding != RSA_PKCS1_PADDING && padding != RSA_PKCS1_PSS_PADDING)
        return ward_fail(ctx->provider, WARD_SCHEME, "RSA padding %d", padding);
    ctx->padding = padding;
    return 1;
}

/* The key service makes the salt as long as the digest, which is the one way of TLS 1.3 (RFC 8446 4.2.3). */
static int salt_is_a_digest_long(const struct signature *ctx, const OSSL_PARAM *p)
{
    char text[16];
    int salt = 0;

    if (p->data_type == OSSL_PARAM_UTF8_STRING && p->data != NULL) {
        if (strcmp(p->data, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0)
            return 1;
        (void)snprintf(text, sizeof(text), "%d", ctx->digest != NULL ? EVP_MD_get_size(ctx->digest) : 0);
        return strcmp(p->data, text) == 0;
    }
    return OSSL_PARAM_get_int(p, &salt) && (salt == RSA_PSS_SALTLEN_DIGEST || (ctx->digest != NULL && salt == EVP_MD_get_size(ctx->digest)));
}

static int signature_set_params(void *context, const OSSL_PARAM params[])
{
    struct signature *ctx = context;
    const OSSL_PARAM *p;

    if (params == NULL)
        return 1;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_DIGEST)) != NULL && p->data_type == OSSL_PARAM_UTF8_STRING && p->data != NULL
        && !set_digest(ctx, p->data))
        return 0;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE)) != NULL && !set_padding(ctx, p))
        return 0;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN)) != NULL && !salt_is_a_digest_long(ctx, p))
        return ward_fail(ctx->provider, WARD_SCHEME, "a PSS salt that is not as long as the digest");
    if ((p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_MGF1_DIGEST)) != NULL
        && (p->data_type != OSSL_PARAM_UTF8_STRING || p->data == NULL || ctx->digest == NULL || !EVP_MD_is_a(ctx->digest, p->data)))
        return ward_fail(ctx->provider, WARD_SCHEME, "an MGF1 digest of its own");
    return 1;
}

static const OSSL_PARAM *signature_settable(void *context, void *provider)
{
    static const OSSL_PARAM settable[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)context, (void)provider;
    return settable;
}

static int digest_sign_init(void *context, const char *name, void *key, const OSSL_PARAM params[])
{
    struct signature *ctx = context;

    ward_clear_failure();
    if (key != NULL) {
        ward_key_free(ctx->key);
        ctx->key = ward_key_use(key);
    }
    if (ctx->key == NULL || !set_digest(ctx, name != NULL && name[0] != '\0' ? name : "SHA2-256") || !signature_set_params(ctx, params))
        return 0;
    EVP_MD_CTX_free(ctx->hash);
    ctx->hash = EVP_MD_CTX_new();
    return ctx->hash != NULL && EVP_DigestInit_ex2(ctx->hash, ctx->digest, NULL);
}

static int digest_sign_update(void *context, const unsigned char *data, size_t size)
{
    struct signature *ctx = context;

    return ctx->hash != NULL && EVP_DigestUpdate(ctx->hash, data, size);
}

static int sign(const struct signature *ctx, unsigned char *out, size_t *size, const unsigned char *digest, size_t digest_size)
{
    struct ward_key *key = ctx->key;
    char scheme[32];

    if (key->rehearsal) {
        memset(out, 0, *size);
        return 1;
    }
    (void)snprintf(scheme, sizeof(scheme), "%s-%s",
                   key->kind == WARD_EC ? "ecdsa"
                   : ctx->padding == RSA_PKCS1_PSS_PADDING ? "rsa-pss"
                                                           : "rsa-pkcs1",
                   service_name(ctx));
    ward_count_signature();
    if (!ward_ask(key, scheme, digest, digest_size, out, size))
        return 0;
    if (key->kind == WARD_RSA || !atomic_load(&key->proven)) {
        if (!ward_is_good(key, ctx->digest, ctx->padding, out, *size, digest, digest_size))
            return ward_fail(ctx->provider, WARD_NOT_OURS, "%s of %s", scheme, key->uri);
        atomic_store(&key->proven, true);
    }
    return 1;
}

static int digest_sign_final(void *context, unsigned char *out, size_t *size, size_t room)
{
    const struct signature *ctx = context;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;
    int largest;

    if (ctx->key == NULL || ctx->hash == NULL || (largest = EVP_PKEY_get_size(ctx->key->public_key)) <= 0)
        return 0;
    if (out == NULL) {
        *size = (size_t)largest;
        return 1;
    }
    if (room < (size_t)largest || !EVP_DigestFinal_ex(ctx->hash, digest, &digest_size))
        return 0;
    *size = (size_t)largest;
    return sign(ctx, out, size, digest, digest_size);
}

static int digest_sign(void *context, unsigned char *out, size_t *size, size_t room, const unsigned char *data, size_t data_size)
{
    return (out == NULL || digest_sign_update(context, data, data_size)) && digest_sign_final(context, out, size, room);
}

static const OSSL_DISPATCH functions[] = {
    {OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))signature_new},
    {OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))signature_free},
    {OSSL_FUNC_SIGNATURE_DUPCTX, (void (*)(void))signature_dup},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (void (*)(void))digest_sign_init},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, (void (*)(void))digest_sign_update},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, (void (*)(void))digest_sign_final},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (void (*)(void))digest_sign},
    {OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (void (*)(void))signature_set_params},
    {OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (void (*)(void))signature_settable},
    {0, NULL},
};

const OSSL_ALGORITHM ward_signature[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", WARD_PROPERTIES, functions, "RSA signatures by the key service"},
    {"ECDSA", WARD_PROPERTIES, functions, "ECDSA signatures by the key service"},
    {NULL, NULL, NULL, NULL},
};
