/*
 * Asks the key service for one signature, over the connection of this thread (connection.c).
 *
 * One packet there and one back over SOCK_SEQPACKET (docs/keys.md): version 1, operation, u32 id, then fields of u16 length and bytes;
 * the answer has a u16 status behind the id, 0 or a number of wardgate/codes.py with a text as first field. All big endian.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "wardkeys.h"

#define VERSION 1
#define OP_SIGN 1
#define ANSWER 0x80
#define ANSWER_HEAD 8 /* version, operation, id, status */
#define LONGEST_US 1000000
#define SLEEPS 16

static const unsigned char id[4] = {0, 0, 0, 1};
static const unsigned char unasked[4] = {0, 0, 0, 0}; /* why the service turns a caller away */

static bool add_field(unsigned char *packet, size_t room, size_t *used, const void *bytes, size_t size)
{
    if (size > UINT16_MAX || room - *used < size + 2)
        return false;
    packet[(*used)++] = (unsigned char)(size >> 8);
    packet[(*used)++] = (unsigned char)size;
    memcpy(packet + *used, bytes, size);
    *used += size;
    return true;
}

static int send_packet(int fd, const unsigned char *packet, size_t size, int64_t until)
{
    for (;;) {
        ssize_t sent = send(fd, packet, size, MSG_NOSIGNAL);

        if (sent == (ssize_t)size)
            return 1;
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            int ready = ward_wait(fd, POLLOUT, until);

            if (ready > 0)
                continue;
            return ready;
        }
        return -1;
    }
}

/*
 * Returns the size of the answer, 0 when the time is over, -1 when there will be none. A service that turns us away closes without
 * reading the request: that is told first, as ECONNRESET, and its reason can still be read behind it.
 */
static ssize_t receive_packet(int fd, unsigned char *packet, size_t room, int64_t until)
{
    bool reset = false;

    for (;;) {
        int ready = ward_wait(fd, POLLIN, until);
        ssize_t size;

        if (ready <= 0)
            return ready;
        size = recv(fd, packet, room, MSG_TRUNC);
        if (size > 0)
            return (size_t)size <= room ? size : -1;
        if (size < 0 && errno == ECONNRESET && !reset) {
            reset = true;
            continue;
        }
        if (size == 0 || (errno != EINTR && errno != EAGAIN))
            return -1;
    }
}

/* Keeps what an answer of this key usually takes. Threads may overwrite each other's: it is a guess. */
static void learn(struct ward_key *key, int64_t took)
{
    int64_t usual = atomic_load(&key->usual_us);

    atomic_store(&key->usual_us, (unsigned)(usual + ((took < LONGEST_US ? took : LONGEST_US) - usual) / 4));
}

/* A thread that yields to others loses its turn for some milliseconds, where one that sleeps is woken at once: so that is seldom tried.
 * Where several threads ask in turn, the processor is better left to them and to the key service. */
static void look(struct ward_key *key, int fd)
{
    uintptr_t self = (uintptr_t)pthread_self();
    unsigned left = atomic_load(&key->slept_for);

    if (atomic_exchange(&key->asked_by, self) != self || atomic_load(&key->usual_us) >= WARD_QUICK_US)
        return;
    if (left > 0)
        atomic_store(&key->slept_for, left - 1);
    else if (ward_look(fd, WARD_QUICK_US) == WARD_OTHERS)
        atomic_store(&key->slept_for, SLEEPS);
}

/* Takes the answer apart. The text of a refusal is cut and freed of what a log should not see. */
static int read_answer(const struct ward_key *key, unsigned char *packet, size_t size, unsigned char *signature, size_t *signature_size)
{
    unsigned status;
    size_t length = 0;
    bool ours;

    if (size < ANSWER_HEAD || packet[0] != VERSION || (packet[1] & ANSWER) == 0)
        return ward_fail(key->provider, WARD_BROKE, "an answer of %zu bytes that is none", size);
    status = (unsigned)packet[6] << 8 | packet[7];
    ours = packet[1] == (OP_SIGN | ANSWER) && memcmp(packet + 2, id, sizeof(id)) == 0;
    if (!ours && (status == 0 || memcmp(packet + 2, unasked, sizeof(unasked)) != 0))
        return ward_fail(key->provider, WARD_BROKE, "an answer to another question");
    if (size >= ANSWER_HEAD + 2)
        length = (size_t)packet[ANSWER_HEAD] << 8 | packet[ANSWER_HEAD + 1];
    if (size < ANSWER_HEAD + 2 + length) /* a refusal has a text, if an empty one */
        return ward_fail(key->provider, WARD_BROKE, "a field of %zu bytes in an answer of %zu", length, size);
    if (status != 0) {
        unsigned char *text = packet + ANSWER_HEAD + 2;

        for (size_t i = 0; i < length; i++)
            if (text[i] < 0x20 || text[i] > 0x7e)
                text[i] = '?';
        return ward_fail(key->provider, status, "%.*s", (int)(length < 160 ? length : 160), length > 0 ? (const char *)text : "");
    }
    if (length == 0 || length > *signature_size)
        return ward_fail(key->provider, WARD_BROKE, "a signature of %zu bytes", length);
    memcpy(signature, packet + ANSWER_HEAD + 2, length);
    *signature_size = length;
    return 1;
}

int ward_ask(struct ward_key *key, const char *scheme, const unsigned char *digest, size_t digest_size, unsigned char *signature,
             size_t *size)
{
    unsigned char request[1024], answer[WARD_SIGNATURE_BYTES + 64];
    int64_t began = ward_now_us(), until = ward_now_ms() + key->sign_ms;
    size_t used = 6;
    bool was_kept;
    ssize_t got;

    request[0] = VERSION;
    request[1] = OP_SIGN;
    memcpy(request + 2, id, sizeof(id));
    if (!add_field(request, sizeof(request), &used, key->uri, strlen(key->uri))
        || !add_field(request, sizeof(request), &used, scheme, strlen(scheme)) || !add_field(request, sizeof(request), &used, digest, digest_size))
        return ward_fail(key->provider, WARD_BROKE, "a request that is too long");
    do {
        int fd = ward_connection(key->socket, until, &was_kept);
        int sent;

        if (fd < 0)
            return ward_fail(key->provider, WARD_UNREACHABLE, "%s: %s", key->socket, strerror(errno));
        sent = send_packet(fd, request, used, until);
        if (sent > 0)
            look(key, fd);
        got = sent > 0 ? receive_packet(fd, answer, sizeof(answer), until) : sent;
        /* An answer that is late or broken must not be the answer to the next question. */
        if (got < ANSWER_HEAD || memcmp(answer + 2, id, sizeof(id)) != 0)
            ward_hang_up();
    } while (got < 0 && was_kept); /* the key service is another one by now: a new connection tells */
    if (got == 0)
        return ward_fail(key->provider, WARD_TIMEOUT, "after %u ms", (unsigned)key->sign_ms);
    if (got < 0)
        return ward_fail(key->provider, WARD_BROKE, "it hung up");
    learn(key, ward_now_us() - began);
    return read_answer(key, answer, (size_t)got, signature, size);
}
