/*
 * Checks a signature of the token with the public key, by OpenSSL's own provider.
 *
 * Setting such a check up costs as much as the check of an RSA signature itself, so each key keeps one that is set up. Who finds it
 * taken by another thread, or set up for another hash or padding, makes its own.
 */
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "wardkeys.h"

struct ward_check {
    EVP_PKEY_CTX *ctx;
    const EVP_MD *digest; /* of the provider, so its address says which */
    int padding;
};

void ward_check_free(struct ward_check *check)
{
    if (check == NULL)
        return;
    EVP_PKEY_CTX_free(check->ctx);
    OPENSSL_free(check);
}

static struct ward_check *check_new(const struct ward_key *key, const EVP_MD *digest, int padding)
{
    struct ward_check *check = OPENSSL_zalloc(sizeof(*check));

    if (check == NULL)
        return NULL;
    check->digest = digest;
    check->padding = padding;
    check->ctx = EVP_PKEY_CTX_new_from_pkey(key->provider->own, key->public_key, NULL);
    if (check->ctx == NULL || EVP_PKEY_verify_init(check->ctx) != 1 || EVP_PKEY_CTX_set_signature_md(check->ctx, digest) != 1)
        goto wrong;
    if (key->kind == WARD_RSA && EVP_PKEY_CTX_set_rsa_padding(check->ctx, padding) != 1)
        goto wrong;
    if (key->kind == WARD_RSA && padding == RSA_PKCS1_PSS_PADDING
        && EVP_PKEY_CTX_set_rsa_pss_saltlen(check->ctx, RSA_PSS_SALTLEN_DIGEST) != 1)
        goto wrong;
    return check;
wrong:
    ward_check_free(check);
    return NULL;
}

bool ward_is_good(struct ward_key *key, const EVP_MD *digest, int padding, const unsigned char *signature, size_t size,
                  const unsigned char *hash, size_t hash_size)
{
    struct ward_check *check = atomic_exchange(&key->check, NULL);
    bool good;

    ERR_set_mark();
    if (check != NULL && (check->digest != digest || check->padding != padding)) {
        ward_check_free(check);
        check = NULL;
    }
    if (check == NULL)
        check = check_new(key, digest, padding);
    good = check != NULL && EVP_PKEY_verify(check->ctx, signature, size, hash, hash_size) == 1;
    ERR_pop_to_mark();
    if (good)
        check = atomic_exchange(&key->check, check);
    ward_check_free(check);
    return good;
}
