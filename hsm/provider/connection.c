/*
 * The connection of each thread to the key service. It is kept: opening one costs more than an ECDSA signature in a software token.
 *
 * No two threads share one, so answers need no matching. A child that was forked has its parent's descriptor and must not use it: the
 * process id tells. It ends with its thread.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "wardkeys.h"

#define CONNECT_PAUSE_NS (5 * 1000 * 1000)
#define OTHERS_US 50 /* a sched_yield() that lasted so long may have let somebody else have the processor: the kernel's count tells */

struct connection {
    int fd;
    pid_t process;
    char socket[WARD_SOCKET_BYTES];
};

static _Thread_local struct connection kept = {.fd = -1};
static pthread_key_t at_thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool can_keep; /* without a handler at the end of threads, each would leave a descriptor behind */

int64_t ward_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t ward_now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* How often this thread lost its processor to another, which a virtual machine's own pauses do not count as. */
static long times_lost(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
}

enum ward_seen ward_look(int fd, int64_t us)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    int64_t now = ward_now_us(), end = now + us, before;
    long lost = times_lost();

    do {
        if (poll(&wanted, 1, 0) > 0)
            return WARD_CAME;
        before = now;
        (void)sched_yield();
        ward_stay_if_process_ends();
        now = ward_now_us();
        if (now - before >= OTHERS_US && times_lost() != lost)
            return WARD_OTHERS;
    } while (now < end);
    return WARD_NOTHING;
}

/* Waits for `events`; returns a positive number, 0 when the time is over, or -1 with errno. */
int ward_wait(int fd, short events, int64_t until)
{
    struct pollfd wanted = {.fd = fd, .events = events};

    for (;;) {
        int64_t left = until - ward_now_ms();
        int found = left > 0 ? poll(&wanted, 1, (int)left) : 0;

        ward_stay_if_process_ends();
        if (found >= 0 || errno != EINTR)
            return found;
    }
}

static int open_socket(const char *path, int64_t until)
{
    const struct timespec pause = {.tv_nsec = CONNECT_PAUSE_NS};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    while (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN && ward_now_ms() < until) { /* too many wait to be accepted; there is nothing to poll for */
            (void)nanosleep(&pause, NULL);
            ward_stay_if_process_ends();
            continue;
        }
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static void hang_up(void *data)
{
    struct connection *connection = data;

    if (connection->fd >= 0)
        (void)close(connection->fd);
    connection->fd = -1;
}

static void begin(void)
{
    can_keep = pthread_key_create(&at_thread_end, hang_up) == 0;
}

void ward_hang_up(void)
{
    hang_up(&kept);
}

int ward_connection(const char *path, int64_t until, bool *was_kept)
{
    *was_kept = kept.fd >= 0 && kept.process == getpid() && strcmp(kept.socket, path) == 0;
    if (*was_kept)
        return kept.fd;
    hang_up(&kept);
    (void)pthread_once(&once, begin);
    if (!can_keep || pthread_setspecific(at_thread_end, &kept) != 0) {
        errno = ENOMEM;
        return -1;
    }
    kept.fd = open_socket(path, until);
    kept.process = getpid();
    (void)snprintf(kept.socket, sizeof(kept.socket), "%s", path);
    return kept.fd;
}
