/* One association of the sink: see scp.h. */
#include "scp.h"

#include <stdlib.h>
#include <string.h>

static int send_queued(struct scp *scp) {
    scp->blocked = 0;
    while (scp->first < scp->count) {
        struct iovec part = {scp->out + scp->first, scp->count - scp->first};
        ssize_t n = channel_write(&scp->channel, &part, 1);
        if (n == IO_AGAIN_WRITE) scp->blocked = 1;
        if (n == IO_AGAIN_WRITE || n == IO_AGAIN_READ) return 0;
        if (n < 0) return -1;
        scp->first += (size_t)n;
    }
    scp->first = scp->count = 0;
    return 0;
}

static int respond(struct scp *scp, const struct command *request, unsigned context_id) {
    if (sizeof scp->out - scp->count < COMMAND_SIZE) return -1;
    scp->count += write_response(scp->out + scp->count, request, context_id);
    return send_queued(scp);
}

static int on_pdu(void *owner, const uint8_t *pdu, size_t length) {
    struct scp *scp = owner;
    if (pdu[0] == PDU_RQ && !scp->count) {
        scp->count = answer_associate(scp->out, pdu, length, scp->service->max_pdu);
        scp->service->counters.associations++;
        return scp->count ? send_queued(scp) : -1;
    }
    if (pdu[0] == PDU_RELEASE_RQ && sizeof scp->out - scp->count >= RELEASE_SIZE) {
        scp->count += write_release(scp->out + scp->count, PDU_RELEASE_RP);
        scp->released = 1;
        return send_queued(scp);
    }
    return -1;
}

static int on_command(void *owner, unsigned context_id, const uint8_t *set, size_t length) {
    struct scp *scp = owner;
    struct command request;
    if (read_command(&request, set, length)) return -1;
    if (request.field == C_ECHO_RQ) {
        scp->service->counters.echoes++;
        return respond(scp, &request, context_id);
    }
    if (request.field != C_STORE_RQ || !request.has_data_set) return -1;
    scp->request = request, scp->context_id = context_id, scp->length = 0;
    if (scp->service->digests) {
        if (!scp->hash) scp->hash = EVP_MD_CTX_new();
        EVP_DigestInit_ex(scp->hash, EVP_sha256(), NULL);
    }
    return 0;
}

static void note_digest(struct scp *scp) {
    uint8_t digest[EVP_MAX_MD_SIZE];
    char hex[65];
    EVP_DigestFinal_ex(scp->hash, digest, NULL);
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    fprintf(scp->service->digests, "%s %s %llu\n", scp->request.sop_instance, hex, (unsigned long long)scp->length);
}

static int on_data(void *owner, const uint8_t *bytes, size_t length, int last) {
    struct scp *scp = owner;
    if (scp->request.field != C_STORE_RQ) return -1;
    scp->length += length;
    if (scp->service->digests) EVP_DigestUpdate(scp->hash, bytes, length);
    if (!last) return 0;
    if (scp->service->digests) note_digest(scp);
    scp->service->counters.stores++;
    scp->service->counters.bytes += scp->length;
    struct command request = scp->request;
    scp->request.field = 0;
    return respond(scp, &request, scp->context_id);
}

struct scp *scp_new(struct service *service, int fd, SSL_CTX *tls) {
    struct scp *scp = calloc(1, sizeof *scp);
    if (!scp) exit(3);
    scp->service = service;
    scp->reader = (struct reader){.owner = scp, .on_pdu = on_pdu, .on_command = on_command, .on_data = on_data};
    channel_open(&scp->channel, fd, tls, SERVER);
    return scp;
}

static int receive(struct scp *scp) {
    static uint8_t buffer[256 * 1024];
    for (;;) {
        ssize_t n = channel_read(&scp->channel, buffer, sizeof buffer);
        if (n == IO_AGAIN_READ || n == IO_AGAIN_WRITE) return 0;
        if (n <= 0 || reader_feed(&scp->reader, buffer, (size_t)n)) return -1;
    }
}

int scp_ready(struct scp *scp) {
    if (!scp->shaken) {
        int result = channel_handshake(&scp->channel);
        scp->blocked = result == IO_AGAIN_WRITE;
        if (result) return result == IO_BROKEN ? -1 : 0;
        scp->shaken = 1;
        scp->service->counters.resumed += channel_resumed(&scp->channel);
        channel_describe(&scp->channel, scp->service->tls, sizeof scp->service->tls);
    }
    if (send_queued(scp)) return -1;
    return receive(scp);
}

void scp_free(struct scp *scp) {
    if (!scp->released) scp->service->counters.aborted++;
    channel_close(&scp->channel);
    EVP_MD_CTX_free(scp->hash);
    free(scp);
}
