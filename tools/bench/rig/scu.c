/* One association of the load generator: see scu.h. */
#include "scu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void end(struct scu *scu) {
    channel_close(&scu->channel);
    scu->state = SCU_IDLE;
    scu->events = 0;
}

void scu_fail(struct scu *scu, const char *why) {
    if (!scu->tally->failed++)
        snprintf(scu->tally->why, sizeof scu->tally->why, "association %d: %s (state %d, %ld stored)", scu->index, why, scu->state, scu->stored);
    end(scu);
}

static unsigned context_for(struct plan *plan, const char *abstract, const char *transfer) {
    for (int i = 0; i < plan->context_count; i++)
        if (!strcmp(plan->contexts[i].abstract_syntax, abstract) && !strcmp(plan->contexts[i].transfer_syntax, transfer))
            return (unsigned)(2 * i + 1);
    if (plan->context_count == MAX_CONTEXTS) {
        fprintf(stderr, "load: more than %d presentation contexts\n", MAX_CONTEXTS);
        exit(2);
    }
    struct context *context = &plan->contexts[plan->context_count];
    strcpy(context->abstract_syntax, abstract);
    strcpy(context->transfer_syntax, transfer);
    return (unsigned)(2 * plan->context_count++ + 1);
}

void plan_contexts(struct plan *plan) {
    context_for(plan, VERIFICATION, IMPLICIT_LITTLE); /* context 1 */
    for (int i = 0; i < plan->objects.count; i++) {
        struct object *object = &plan->objects.items[i];
        object->context_id = context_for(plan, object->sop_class, object->transfer_syntax);
    }
}

static void queue(struct scu *scu, size_t length) { /* `small` is what goes out */
    scu->parts[0] = (struct iovec){scu->small, length};
    scu->first = 0, scu->count = 1;
}

static void queue_fragments(struct scu *scu) {
    const struct object *object = scu->object;
    for (int i = 0; i < WINDOW && scu->offset < object->length; i++) {
        uint64_t left = object->length - scu->offset;
        uint32_t size = left < scu->fragment ? (uint32_t)left : scu->fragment;
        write_fragment_header(scu->headers[i], size, object->context_id, size == left);
        scu->parts[scu->count++] = (struct iovec){scu->headers[i], FRAGMENT_HEADER};
        while (size) { /* two pieces where it crosses the end of a block */
            const uint8_t *bytes;
            size_t n = object_at(object, scu->offset, size, &bytes);
            scu->parts[scu->count++] = (struct iovec){(void *)(uintptr_t)bytes, n};
            scu->offset += n, size -= (uint32_t)n;
        }
    }
}

static void next_operation(struct scu *scu) {
    struct plan *plan = scu->plan;
    if (!*scu->next_operation) scu->next_operation = plan->operations, scu->round++;
    scu->object = NULL, scu->offset = 0;
    scu->asked = now_seconds();
    if (scu->round >= plan->repeat) {
        scu->state = SCU_RELEASING;
        queue(scu, write_release(scu->small, PDU_RELEASE_RQ));
        return;
    }
    scu->message_id = scu->message_id % 65535 + 1;
    if (*scu->next_operation++ == 'E') {
        queue(scu, write_request(scu->small, C_ECHO_RQ, scu->message_id, 1, VERIFICATION, NULL));
        return;
    }
    struct object *object = &plan->objects.items[(scu->index * 7919L + scu->stored++) % plan->objects.count];
    scu->object = object;
    queue(scu, write_request(scu->small, C_STORE_RQ, scu->message_id, object->context_id, object->sop_class, object->sop_instance));
}

static void consume(struct scu *scu, size_t n) {
    while (n) {
        struct iovec *part = &scu->parts[scu->first];
        size_t taken = n < part->iov_len ? n : part->iov_len;
        part->iov_base = (uint8_t *)part->iov_base + taken;
        part->iov_len -= taken, n -= taken;
        if (!part->iov_len) scu->first++;
    }
}

static void send_queued(struct scu *scu) {
    scu->blocked = 0;
    for (;;) {
        if (scu->object && scu->offset < scu->object->length && (scu->first == scu->count || scu->offset == 0)) {
            if (scu->first == scu->count) scu->first = scu->count = 0;
            queue_fragments(scu);
        }
        if (scu->first == scu->count) return;
        ssize_t n = channel_write(&scu->channel, scu->parts + scu->first, scu->count - scu->first);
        if (n == IO_AGAIN_WRITE || n == IO_AGAIN_READ) {
            scu->blocked = n == IO_AGAIN_WRITE;
            return;
        }
        if (n < 0) {
            scu_fail(scu, "cannot send");
            return;
        }
        consume(scu, (size_t)n);
    }
}

static int on_pdu(void *owner, const uint8_t *pdu, size_t length) {
    struct scu *scu = owner;
    uint32_t max_pdu;
    if (pdu[0] == PDU_AC && scu->state == SCU_ASSOCIATING) {
        if (read_associate_ac(pdu, length, &max_pdu) != scu->plan->context_count) return -1;
        if (max_pdu == 0 || max_pdu > 131072) max_pdu = 131072;
        scu->fragment = (max_pdu - 6) & ~1u;
        samples_add(&scu->tally->associate, now_seconds() - scu->began);
        scu->state = SCU_WORKING;
        next_operation(scu);
        return 0;
    }
    if (pdu[0] == PDU_RELEASE_RP && scu->state == SCU_RELEASING) {
        scu->tally->done++;
        return 1;
    }
    return -1;
}

static int on_command(void *owner, unsigned context_id, const uint8_t *set, size_t length) {
    struct scu *scu = owner;
    struct command response;
    (void)context_id;
    if (scu->state != SCU_WORKING || scu->first != scu->count) return -1;
    if (read_command(&response, set, length) || response.status != 0 || response.responded_id != scu->message_id) return -1;
    double seconds = now_seconds() - scu->asked;
    if (scu->object) {
        samples_add(&scu->tally->store, seconds);
        scu->object->sent++;
        scu->tally->bytes += scu->object->length;
    } else {
        samples_add(&scu->tally->echo, seconds);
    }
    next_operation(scu);
    return 0;
}

static int on_data(void *owner, const uint8_t *bytes, size_t length, int last) { /* no response has a data set */
    (void)owner, (void)bytes, (void)length, (void)last;
    return -1;
}

static void receive(struct scu *scu) {
    static uint8_t buffer[65536];
    for (;;) {
        ssize_t n = channel_read(&scu->channel, buffer, sizeof buffer);
        if (n == IO_AGAIN_READ || n == IO_AGAIN_WRITE) return;
        if (n <= 0) {
            scu_fail(scu, n ? "the connection broke" : "the peer closed");
            return;
        }
        int result = reader_feed(&scu->reader, buffer, (size_t)n);
        if (result > 0) {
            end(scu);
            return;
        }
        if (result < 0) {
            scu_fail(scu, "refused, aborted or answered wrongly");
            return;
        }
    }
}

static void connected(struct scu *scu) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(scu->channel.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        scu_fail(scu, strerror(error));
        return;
    }
    scu->state = SCU_HANDSHAKING;
}

static void handshake(struct scu *scu) {
    int result = channel_handshake(&scu->channel);
    if (result == IO_BROKEN) {
        scu_fail(scu, "TLS handshake failed");
        return;
    }
    scu->blocked = result == IO_AGAIN_WRITE;
    if (result) return;
    scu->tally->resumed += channel_resumed(&scu->channel);
    scu->state = SCU_ASSOCIATING;
    queue(scu, write_associate_rq(scu->small, scu->plan->contexts, scu->plan->context_count, scu->plan->max_pdu));
}

void scu_start(struct scu *scu, int index) {
    struct plan *plan = scu->plan;
    struct tally *tally = scu->tally;
    memset(scu, 0, sizeof *scu);
    scu->plan = plan, scu->tally = tally, scu->index = index;
    scu->reader = (struct reader){.owner = scu, .on_pdu = on_pdu, .on_command = on_command, .on_data = on_data};
    scu->next_operation = plan->operations;
    scu->began = now_seconds();
    scu->state = SCU_CONNECTING;
    scu->blocked = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    channel_open(&scu->channel, fd, plan->tls, CLIENT);
    if (plan->resume) channel_resume(&scu->channel);
    if (connect(fd, (struct sockaddr *)&plan->address, sizeof plan->address) && errno != EINPROGRESS) scu_fail(scu, strerror(errno));
}

void scu_ready(struct scu *scu) {
    if (scu->state == SCU_CONNECTING) connected(scu);
    if (scu->state == SCU_HANDSHAKING) handshake(scu);
    if (scu->state < SCU_ASSOCIATING) return;
    send_queued(scu);
    if (scu->state >= SCU_ASSOCIATING) receive(scu);
    if (scu->state >= SCU_ASSOCIATING && scu->first != scu->count) send_queued(scu);
}
