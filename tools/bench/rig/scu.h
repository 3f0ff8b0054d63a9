/* One association of the load generator, from connect to release. */
#ifndef BENCH_SCU_H
#define BENCH_SCU_H

#include "channel.h"
#include "object.h"
#include "reader.h"
#include "samples.h"

#include <netinet/in.h>

#define WINDOW 64 /* fragments prepared at a time */

struct plan { /* what every association does */
    struct sockaddr_in address;
    SSL_CTX *tls;
    int resume;
    uint32_t max_pdu;
    const char *operations; /* E: C-ECHO, S: C-STORE; done `repeat` times */
    long repeat;
    struct objects objects;
    struct context contexts[MAX_CONTEXTS];
    int context_count;
};

struct tally {
    struct samples associate, echo, store; /* connect to A-ASSOCIATE-AC; request to response */
    long done, failed, resumed;
    uint64_t bytes;
    char why[200]; /* of the first failure */
};

enum scu_state { SCU_IDLE, SCU_CONNECTING, SCU_HANDSHAKING, SCU_ASSOCIATING, SCU_WORKING, SCU_RELEASING };

struct scu {
    struct channel channel;
    struct reader reader;
    struct plan *plan;
    struct tally *tally;
    enum scu_state state;
    int index, blocked; /* blocked: wants to write and cannot */
    unsigned events;    /* as registered with epoll */
    double began, asked;
    long round, stored;
    const char *next_operation;
    unsigned message_id;
    uint32_t fragment;     /* data set bytes a PDV */
    struct object *object; /* being sent; NULL with a C-ECHO */
    uint64_t offset;       /* of its bytes already in `parts` */
    struct iovec parts[2 * WINDOW + 1 + WINDOW];
    int first, count;
    uint8_t headers[WINDOW][FRAGMENT_HEADER];
    uint8_t small[ASSOCIATE_SIZE];
};

/* Gives every object its presentation context; exits when there are too many. */
void plan_contexts(struct plan *plan);

void scu_start(struct scu *scu, int index);
void scu_ready(struct scu *scu); /* epoll has something; the state is SCU_IDLE when it has ended */
void scu_fail(struct scu *scu, const char *why);

#endif
