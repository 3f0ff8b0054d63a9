/*
 * An OpenSSL provider for private keys that stay in a token.
 *
 * It makes an EVP_PKEY out of a PEM file "WARDKEYS KEY", which holds no secret (where the key service listens, which key, its public
 * part), and asks the key service for each signature. All else is left to OpenSSL's default provider: what cannot sign is not here.
 *
 *   provider.c   entry, queries, failures     key.c        key management (RSA, EC)
 *   decoder.c    the PEM file                 signature.c  ECDSA, RSA PKCS#1 v1.5, RSA-PSS: hash here, sign there, check here
 *   check.c      the check           ask.c   one signature over the wire           connection.c   the connection of each thread
 */
#ifndef WARDKEYS_H
#define WARDKEYS_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#define WARD_SOCKET_BYTES 108 /* sun_path of Linux, its NUL included */
#define WARD_URI_BYTES 513    /* wardgate.policy.keyref allows 512 characters */
#define WARD_SIGNATURE_BYTES 1024 /* RSA 8192 */
#define WARD_QUICK_US 2000 /* an answer that takes no longer is looked for; a card's is slept for */
#define WARD_PROPERTIES "provider=wardkeys"

/* Numbers of wardgate/codes.py. What the key service itself answers is passed on with its own number (700 to 739). */
enum ward_code {
    WARD_FINE = 0,
    WARD_UNREACHABLE = 761, /* nobody listens on the socket, or it may not be opened */
    WARD_TIMEOUT = 762,     /* no signature within sign_seconds */
    WARD_BROKE = 763,       /* the service hung up, or its answer is not one */
    WARD_NOT_OURS = 764,    /* the signature does not fit the public key of the certificate */
    WARD_SCHEME = 765,      /* a kind of signature that is not made */
};

#define WARD_DIGESTS 3 /* SHA-256, SHA-384, SHA-512 */

struct ward_provider {
    const OSSL_CORE_HANDLE *handle;
    OSSL_FUNC_core_new_error_fn *new_error;
    OSSL_FUNC_core_vset_error_fn *set_error;
    OSSL_FUNC_BIO_read_ex_fn *bio_read;
    OSSL_LIB_CTX *own; /* for digests and public keys: the default provider, untouched by the application's configuration */
    EVP_MD *digests[WARD_DIGESTS]; /* of `own`, fetched once */
};

enum ward_kind { WARD_RSA, WARD_EC };

struct ward_check;

struct ward_key {
    atomic_int users;
    const struct ward_provider *provider;
    enum ward_kind kind;
    EVP_PKEY *public_key; /* of `own` */
    uint32_t sign_ms;
    bool rehearsal;    /* makes signatures that are worth nothing and asks nobody: to try which suites a server context offers */
    atomic_bool proven; /* a signature has been checked with the public key */
    atomic_uint usual_us; /* for an answer, lately */
    atomic_uint slept_for; /* so many answers are not looked for: somebody else wanted the processor */
    atomic_uintptr_t asked_by; /* the thread that asked last */
    _Atomic(struct ward_check *) check; /* one that is set up and in nobody's hands, or NULL */
    char socket[WARD_SOCKET_BYTES];
    char uri[WARD_URI_BYTES];
};

/* provider.c */
void ward_clear_failure(void);
int ward_fail(const struct ward_provider *provider, unsigned code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void ward_count_signature(void);
void ward_stay_if_process_ends(void);

/* key.c */
struct ward_key *ward_key_use(struct ward_key *key);
void ward_key_free(void *key);
extern const OSSL_ALGORITHM ward_keymgmt[];

/* decoder.c, signature.c */
extern const OSSL_ALGORITHM ward_decoder[];
extern const OSSL_ALGORITHM ward_signature[];

bool ward_fetch_digests(struct ward_provider *provider);
void ward_free_digests(struct ward_provider *provider);

/* check.c: is `signature` one of `hash` by `key`? */
bool ward_is_good(struct ward_key *key, const EVP_MD *digest, int padding, const unsigned char *signature, size_t size,
                  const unsigned char *hash, size_t hash_size);
void ward_check_free(struct ward_check *check);

/* connection.c. Times are those of ward_now_ms(); `ward_wait` returns a positive number, 0 when the time is over, or -1 with errno. */
int64_t ward_now_ms(void);
int64_t ward_now_us(void);
/*
 * Looks for something to read for at most `us` microseconds, and only as long as nobody else wants this processor: to be woken costs more
 * than half of what an EC signature in a software token takes.
 */
enum ward_seen { WARD_CAME, WARD_NOTHING, WARD_OTHERS };
enum ward_seen ward_look(int fd, int64_t us);
int ward_wait(int fd, short events, int64_t until);
/* Returns this thread's connection to `path`, opened now unless `*was_kept`, or -1 with errno. */
int ward_connection(const char *path, int64_t until, bool *was_kept);
void ward_hang_up(void);

/* ask.c: puts the signature into `signature`, its length into `*size` (room on entry). Returns 1, or 0 after ward_fail(). */
int ward_ask(struct ward_key *key, const char *scheme, const unsigned char *digest, size_t digest_size, unsigned char *signature,
             size_t *size);

#endif
