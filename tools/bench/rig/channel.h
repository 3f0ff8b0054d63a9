/* One non-blocking TCP connection, plain or TLS. */
#ifndef BENCH_CHANNEL_H
#define BENCH_CHANNEL_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

enum { IO_AGAIN_READ = -1, IO_AGAIN_WRITE = -2, IO_BROKEN = -3 }; /* instead of a count of bytes */

struct tls_options {
    const char *version; /* NULL: plain; "1.2" or "1.3" */
    const char *certificate, *key, *anchors;
    int no_tickets; /* server: every handshake is a full one */
};

struct channel {
    int fd;
    SSL *ssl;
};

enum side { CLIENT, SERVER };

/* Makes a context with mutual authentication; exits with OpenSSL's message when a file does not serve. */
SSL_CTX *tls_context(const struct tls_options *options, enum side side);

/* Keeps the newest session of a client context, for `channel_resume`. */
void tls_remember_sessions(SSL_CTX *context);

/* Takes over `fd`; `context` NULL means plain. */
void channel_open(struct channel *channel, int fd, SSL_CTX *context, enum side side);
void channel_resume(struct channel *channel); /* offers the remembered session */
int channel_handshake(struct channel *channel); /* 0 done, or IO_... */
int channel_resumed(const struct channel *channel);
void channel_describe(const struct channel *channel, char *out, size_t size); /* "TLSv1.3 TLS_AES_256_GCM_SHA384" or "plain" */
ssize_t channel_read(struct channel *channel, void *into, size_t size); /* 0: the peer has closed */
ssize_t channel_write(struct channel *channel, const struct iovec *parts, int count);
void channel_close(struct channel *channel);

#endif
