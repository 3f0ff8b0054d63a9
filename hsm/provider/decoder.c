/*
 * Reads the PEM file "WARDKEYS KEY". Its content, made by wardgate/tokensigner.py, all numbers big endian:
 *
 *   u8 version (1), u8 flags (bit 0: rehearsal), u32 milliseconds for a signature,
 *   then three fields, each u16 length and bytes: path of the key service's socket, URI of the key, SubjectPublicKeyInfo (DER)
 */
#define _GNU_SOURCE
#include <string.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "wardkeys.h"

#define LABEL "WARDKEYS KEY"
#define BEGIN "-----BEGIN " LABEL "-----"
#define MAX_FILE_BYTES 8192
#define MAX_SIGN_MS 120000

struct decoder {
    const struct ward_provider *provider;
};

struct field {
    const unsigned char *bytes;
    size_t size;
};

static void *decoder_new(void *provider)
{
    struct decoder *decoder = OPENSSL_zalloc(sizeof(*decoder));

    if (decoder != NULL)
        decoder->provider = provider;
    return decoder;
}

static void decoder_free(void *decoder)
{
    OPENSSL_free(decoder);
}

static bool take_field(const unsigned char **at, size_t *left, struct field *field)
{
    size_t size;

    if (*left < 2)
        return false;
    size = (size_t)(*at)[0] << 8 | (*at)[1];
    if (*left - 2 < size)
        return false;
    field->bytes = *at + 2;
    field->size = size;
    *at += 2 + size;
    *left -= 2 + size;
    return true;
}

static bool copy_text(char *to, size_t room, const struct field *field)
{
    if (field->size == 0 || field->size >= room || memchr(field->bytes, '\0', field->size) != NULL)
        return false;
    memcpy(to, field->bytes, field->size);
    to[field->size] = '\0';
    return true;
}

static struct ward_key *key_from(const struct ward_provider *provider, const unsigned char *at, size_t left)
{
    struct ward_key *key = OPENSSL_zalloc(sizeof(*key));
    struct field path, uri, spki;

    if (key == NULL)
        return NULL;
    atomic_init(&key->users, 1);
    atomic_init(&key->proven, false);
    atomic_init(&key->usual_us, 5 * WARD_QUICK_US); /* it has to show that it is quick */
    atomic_init(&key->slept_for, 0);
    atomic_init(&key->check, NULL);
    key->provider = provider;
    if (left < 6 || at[0] != 1 || (at[1] & ~1u) != 0)
        goto wrong;
    key->rehearsal = (at[1] & 1u) != 0;
    key->sign_ms = (uint32_t)at[2] << 24 | (uint32_t)at[3] << 16 | (uint32_t)at[4] << 8 | at[5];
    if (key->sign_ms == 0 || key->sign_ms > MAX_SIGN_MS)
        goto wrong;
    at += 6;
    left -= 6;
    if (!take_field(&at, &left, &path) || !take_field(&at, &left, &uri) || !take_field(&at, &left, &spki) || left != 0)
        goto wrong;
    if (!copy_text(key->socket, sizeof(key->socket), &path) || !copy_text(key->uri, sizeof(key->uri), &uri))
        goto wrong;
    key->public_key = d2i_PUBKEY_ex(NULL, &spki.bytes, (long)spki.size, provider->own, NULL);
    if (key->public_key == NULL)
        goto wrong;
    if (EVP_PKEY_is_a(key->public_key, "RSA"))
        key->kind = WARD_RSA;
    else if (EVP_PKEY_is_a(key->public_key, "EC"))
        key->kind = WARD_EC;
    else
        goto wrong;
    return key;
wrong:
    ward_key_free(key);
    return NULL;
}

/* Returns NULL when the text is not such a file; that is no error, other decoders will know it. */
static struct ward_key *key_in(const struct ward_provider *provider, const char *text, size_t size)
{
    const char *begin = memmem(text, size, BEGIN, sizeof(BEGIN) - 1);
    struct ward_key *key = NULL;
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long length = 0;
    BIO *memory;

    if (begin == NULL)
        return NULL;
    memory = BIO_new_mem_buf(begin, (int)(size - (size_t)(begin - text)));
    if (memory == NULL)
        return NULL;
    ERR_set_mark();
    if (PEM_read_bio(memory, &name, &header, &data, &length) == 1 && strcmp(name, LABEL) == 0 && length > 0)
        key = key_from(provider, data, (size_t)length);
    ERR_pop_to_mark();
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
    BIO_free(memory);
    return key;
}

static int decode(const struct decoder *decoder, OSSL_CORE_BIO *in, enum ward_kind kind, OSSL_CALLBACK *take, void *argument)
{
    static const char *const names[] = {[WARD_RSA] = "RSA", [WARD_EC] = "EC"};
    int type = OSSL_OBJECT_PKEY, done = 1;
    struct ward_key *key = NULL;
    OSSL_PARAM params[4];
    size_t size = 0, more;
    char *text = OPENSSL_malloc(MAX_FILE_BYTES);

    if (text == NULL)
        return 0;
    while (size < MAX_FILE_BYTES && decoder->provider->bio_read(in, text + size, MAX_FILE_BYTES - size, &more) && more > 0)
        size += more;
    if (size < MAX_FILE_BYTES)
        key = key_in(decoder->provider, text, size);
    OPENSSL_free(text);
    if (key != NULL && key->kind == kind) {
        params[0] = OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type);
        params[1] = OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (char *)(uintptr_t)names[kind], 0);
        params[2] = OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &key, sizeof(key));
        params[3] = OSSL_PARAM_construct_end();
        done = take(params, argument); /* key_load() takes `key` over */
    }
    ward_key_free(key);
    return done;
}

static int decode_rsa(void *decoder, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *take, void *take_argument,
                      OSSL_PASSPHRASE_CALLBACK *ask, void *ask_argument)
{
    (void)selection, (void)ask, (void)ask_argument;
    return decode(decoder, in, WARD_RSA, take, take_argument);
}

static int decode_ec(void *decoder, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *take, void *take_argument,
                     OSSL_PASSPHRASE_CALLBACK *ask, void *ask_argument)
{
    (void)selection, (void)ask, (void)ask_argument;
    return decode(decoder, in, WARD_EC, take, take_argument);
}

static const OSSL_DISPATCH rsa_functions[] = {
    {OSSL_FUNC_DECODER_NEWCTX, (void (*)(void))decoder_new},
    {OSSL_FUNC_DECODER_FREECTX, (void (*)(void))decoder_free},
    {OSSL_FUNC_DECODER_DECODE, (void (*)(void))decode_rsa},
    {0, NULL},
};
static const OSSL_DISPATCH ec_functions[] = {
    {OSSL_FUNC_DECODER_NEWCTX, (void (*)(void))decoder_new},
    {OSSL_FUNC_DECODER_FREECTX, (void (*)(void))decoder_free},
    {OSSL_FUNC_DECODER_DECODE, (void (*)(void))decode_ec},
    {0, NULL},
};

const OSSL_ALGORITHM ward_decoder[] = {
    {"RSA", WARD_PROPERTIES ",input=pem", rsa_functions, "RSA keys in a token, by reference"},
    {"EC", WARD_PROPERTIES ",input=pem", ec_functions, "EC keys in a token, by reference"},
    {NULL, NULL, NULL, NULL},
};
