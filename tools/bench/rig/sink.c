/* sink: a DICOM SCP that takes everything, plain or TLS. Prints `{"ready":true}`, then on each line read from standard input one
 * line of JSON with its counters since the line before. Ends when standard input does. */
#define _GNU_SOURCE /* accept4 */
#include "samples.h"
#include "scp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct option OPTIONS[] = {
    {"on", 1, NULL, 'o'},  {"pdu", 1, NULL, 'p'},     {"digests", 1, NULL, 'd'},    {"tls", 1, NULL, 'T'},  {"certificate", 1, NULL, 'C'},
    {"key", 1, NULL, 'K'}, {"anchors", 1, NULL, 'A'}, {"no-tickets", 0, NULL, 'N'}, {NULL, 0, NULL, 0},
};

static int listen_on(char *text) {
    char *colon = strrchr(text, ':');
    if (colon) *colon = 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(colon ? (uint16_t)atoi(colon + 1) : 0)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024)) {
        fprintf(stderr, "sink: cannot listen on %s: %s\n", text, strerror(errno));
        exit(2);
    }
    return fd;
}

static int mark(struct service *service) { /* returns -1 at the end of standard input */
    static double cpu;
    char line[64];
    if (read(0, line, sizeof line) <= 0) return -1;
    struct counters *c = &service->counters;
    double now = cpu_seconds();
    if (service->digests) fflush(service->digests);
    printf("{\"associations\":%ld,\"resumed\":%ld,\"echoes\":%ld,\"stores\":%ld,\"aborted\":%ld,\"bytes\":%llu,\"cpu\":%.6f,\"tls\":\"%s\"}\n",
           c->associations, c->resumed, c->echoes, c->stores, c->aborted, (unsigned long long)c->bytes, now - cpu, service->tls);
    fflush(stdout);
    cpu = now;
    memset(c, 0, sizeof *c);
    return 0;
}

static void accept_all(int poll, int listener, struct service *service, SSL_CTX *tls) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct scp *scp = scp_new(service, fd, tls);
        struct epoll_event event = {.events = scp->events = EPOLLIN, .data.ptr = scp};
        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    }
}

static void serve(int poll, struct scp *scp) {
    if (scp_ready(scp)) {
        scp_free(scp);
        return;
    }
    unsigned events = EPOLLIN | (scp->blocked ? EPOLLOUT : 0);
    if (events == scp->events) return;
    struct epoll_event event = {.events = scp->events = events, .data.ptr = scp};
    epoll_ctl(poll, EPOLL_CTL_MOD, scp->channel.fd, &event);
}

int main(int argc, char **argv) {
    struct service service = {.max_pdu = 16384};
    struct tls_options tls = {0};
    int option, listener = -1, poll = epoll_create1(0);
    signal(SIGPIPE, SIG_IGN);
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) switch (option) {
        case 'o': listener = listen_on(optarg); break;
        case 'p': service.max_pdu = (uint32_t)atol(optarg); break;
        case 'd': service.digests = fopen(optarg, "w"); break;
        case 'T': tls.version = optarg; break;
        case 'C': tls.certificate = optarg; break;
        case 'K': tls.key = optarg; break;
        case 'A': tls.anchors = optarg; break;
        case 'N': tls.no_tickets = 1; break;
        default: return 2;
        }
    if (listener < 0) return 2;
    SSL_CTX *context = tls_context(&tls, SERVER);
    struct epoll_event events[256], in = {.events = EPOLLIN, .data.ptr = NULL}, accepting = {.events = EPOLLIN, .data.ptr = &listener};
    epoll_ctl(poll, EPOLL_CTL_ADD, 0, &in);
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &accepting);
    puts("{\"ready\":true}");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(poll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            if (!events[i].data.ptr) {
                if (mark(&service)) return service.digests ? fclose(service.digests) : 0;
            } else if (events[i].data.ptr == &listener) {
                accept_all(poll, listener, &service, context);
            } else {
                serve(poll, events[i].data.ptr);
            }
        }
    }
}
