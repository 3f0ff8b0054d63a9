/* One non-blocking TCP connection, plain or TLS: see channel.h. */
#include "channel.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GATHER 65536 /* bytes given to one SSL_write */
#define READ_AHEAD (128 * 1024) /* so that the rig is not what limits: one recv for many records */

static SSL_SESSION *remembered;

static void check(int ok) {
    if (ok == 1) return;
    ERR_print_errors_fp(stderr);
    exit(3);
}

SSL_CTX *tls_context(const struct tls_options *options, enum side side) {
    if (!options->version) return NULL;
    SSL_CTX *context = SSL_CTX_new(side == SERVER ? TLS_server_method() : TLS_client_method());
    check(context != NULL);
    int version = !strcmp(options->version, "1.2") ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    check(SSL_CTX_use_certificate_chain_file(context, options->certificate));
    check(SSL_CTX_use_PrivateKey_file(context, options->key, SSL_FILETYPE_PEM));
    check(SSL_CTX_load_verify_locations(context, options->anchors, NULL));
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (side == SERVER ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD);
    if (side == SERVER) {
        SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(options->anchors));
        SSL_CTX_set_session_id_context(context, (const unsigned char *)"bench", 5);
        if (options->no_tickets) {
            SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
            SSL_CTX_set_num_tickets(context, 0);
            SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        }
    }
    return context;
}

static int remember(SSL *ssl, SSL_SESSION *session) {
    (void)ssl;
    if (remembered) SSL_SESSION_free(remembered);
    remembered = session;
    return 1; /* the reference is ours now */
}

void tls_remember_sessions(SSL_CTX *context) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, remember);
}

void channel_open(struct channel *channel, int fd, SSL_CTX *context, enum side side) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    channel->fd = fd;
    channel->ssl = NULL;
    if (!context) return;
    channel->ssl = SSL_new(context);
    check(channel->ssl != NULL);
    SSL_set_fd(channel->ssl, fd);
    if (side == SERVER)
        SSL_set_accept_state(channel->ssl);
    else
        SSL_set_connect_state(channel->ssl);
}

void channel_resume(struct channel *channel) {
    if (channel->ssl && remembered) SSL_set_session(channel->ssl, remembered);
}

static int tls_error(const struct channel *channel, int result) {
    switch (SSL_get_error(channel->ssl, result)) {
    case SSL_ERROR_WANT_READ: return IO_AGAIN_READ;
    case SSL_ERROR_WANT_WRITE: return IO_AGAIN_WRITE;
    default: return IO_BROKEN;
    }
}

int channel_handshake(struct channel *channel) {
    if (!channel->ssl) return 0;
    ERR_clear_error();
    int result = SSL_do_handshake(channel->ssl);
    if (result != 1) return tls_error(channel, result);
    return 0;
}

int channel_resumed(const struct channel *channel) { return channel->ssl && SSL_session_reused(channel->ssl); }

void channel_describe(const struct channel *channel, char *out, size_t size) {
    if (channel->ssl)
        snprintf(out, size, "%s %s", SSL_get_version(channel->ssl), SSL_get_cipher_name(channel->ssl));
    else
        snprintf(out, size, "plain");
}

ssize_t channel_read(struct channel *channel, void *into, size_t size) {
    ssize_t n;
    if (channel->ssl) {
        ERR_clear_error();
        n = SSL_read(channel->ssl, into, (int)size);
        if (n > 0) return n;
        if (SSL_get_error(channel->ssl, (int)n) == SSL_ERROR_ZERO_RETURN) return 0;
        return tls_error(channel, (int)n);
    }
    n = recv(channel->fd, into, size, 0);
    return n >= 0 ? n : errno == EAGAIN ? IO_AGAIN_READ : IO_BROKEN;
}

ssize_t channel_write(struct channel *channel, const struct iovec *parts, int count) {
    if (!channel->ssl) {
        ssize_t n = writev(channel->fd, parts, count);
        return n >= 0 ? n : errno == EAGAIN ? IO_AGAIN_WRITE : IO_BROKEN;
    }
    static unsigned char gathered[GATHER];
    size_t length = 0;
    for (int i = 0; i < count && length < GATHER; i++) {
        size_t n = parts[i].iov_len < GATHER - length ? parts[i].iov_len : GATHER - length;
        memcpy(gathered + length, parts[i].iov_base, n);
        length += n;
    }
    ERR_clear_error();
    int n = SSL_write(channel->ssl, gathered, (int)length);
    return n > 0 ? n : tls_error(channel, n);
}

void channel_close(struct channel *channel) {
    if (channel->ssl) {
        ERR_clear_error();
        SSL_shutdown(channel->ssl); /* one close_notify, no wait for the other */
        SSL_free(channel->ssl);
        ERR_clear_error();
    }
    if (channel->fd >= 0) close(channel->fd);
    channel->ssl = NULL, channel->fd = -1;
}
