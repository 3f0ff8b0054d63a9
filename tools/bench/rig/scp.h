/* One association of the sink: accepts everything, answers C-ECHO and C-STORE with success. */
#ifndef BENCH_SCP_H
#define BENCH_SCP_H

#include "channel.h"
#include "reader.h"
#include "wire.h"

#include <openssl/evp.h>
#include <stdio.h>

struct counters { /* since the last mark */
    long associations, resumed, echoes, stores, aborted;
    uint64_t bytes;
};

struct service {
    struct counters counters;
    uint32_t max_pdu;
    char tls[80]; /* version and suite of the last handshake */
    FILE *digests; /* one line an instance: UID, SHA-256, length; NULL: not hashed */
};

struct scp {
    struct channel channel;
    struct reader reader;
    struct service *service;
    int shaken, released, blocked;
    unsigned events, context_id;
    struct command request; /* whose data set is under way */
    EVP_MD_CTX *hash;
    uint64_t length;
    size_t first, count; /* unsent bytes in `out` */
    uint8_t out[ASSOCIATE_SIZE];
};

struct scp *scp_new(struct service *service, int fd, SSL_CTX *tls);
int scp_ready(struct scp *scp); /* 0, or -1 when it has ended: then scp_free */
void scp_free(struct scp *scp);

#endif
