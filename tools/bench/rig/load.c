/* load: a DICOM SCU that sends C-ECHO and C-STORE over many associations at once, plain or TLS, and prints one line of JSON. */
#include "scu.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

struct arguments {
    struct plan plan;
    struct tls_options tls;
    int concurrent;
    long total;
    double budget; /* seconds until the run is given up */
    const char *sent;
};

static const struct option OPTIONS[] = {
    {"to", 1, NULL, 't'},        {"operations", 1, NULL, 'o'},   {"repeat", 1, NULL, 'r'}, {"files", 1, NULL, 'f'},
    {"stream", 1, NULL, 's'},    {"associations", 1, NULL, 'a'}, {"total", 1, NULL, 'n'},  {"pdu", 1, NULL, 'p'},
    {"tls", 1, NULL, 'T'},       {"certificate", 1, NULL, 'C'},  {"key", 1, NULL, 'K'},    {"anchors", 1, NULL, 'A'},
    {"budget", 1, NULL, 'b'},    {"sent", 1, NULL, 'S'},         {"resume", 0, NULL, 'R'}, {NULL, 0, NULL, 0},
};

static void take_address(struct sockaddr_in *address, char *text) {
    char *colon = strrchr(text, ':');
    if (colon) *colon = 0;
    address->sin_family = AF_INET;
    if (!colon || inet_pton(AF_INET, text, &address->sin_addr) != 1) {
        fprintf(stderr, "load: --to wants ADDRESS:PORT\n");
        exit(2);
    }
    address->sin_port = htons((uint16_t)atoi(colon + 1));
}

static void parse(struct arguments *a, int argc, char **argv) {
    int option;
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) switch (option) {
        case 't': take_address(&a->plan.address, optarg); break;
        case 'o': a->plan.operations = optarg; break;
        case 'r': a->plan.repeat = atol(optarg); break;
        case 'f': objects_add_folder(&a->plan.objects, optarg); break;
        case 's': objects_add_stream(&a->plan.objects, strtoull(optarg, NULL, 10)); break;
        case 'a': a->concurrent = atoi(optarg); break;
        case 'n': a->total = atol(optarg); break;
        case 'p': a->plan.max_pdu = (uint32_t)atol(optarg); break;
        case 'T': a->tls.version = optarg; break;
        case 'C': a->tls.certificate = optarg; break;
        case 'K': a->tls.key = optarg; break;
        case 'A': a->tls.anchors = optarg; break;
        case 'b': a->budget = atof(optarg); break;
        case 'S': a->sent = optarg; break;
        case 'R': a->plan.resume = 1; break;
        default: exit(2);
        }
    if (a->concurrent < 1 || strspn(a->plan.operations, "ES") != strlen(a->plan.operations) || !*a->plan.operations ||
        (strchr(a->plan.operations, 'S') && !a->plan.objects.count)) {
        fprintf(stderr, "load: --operations takes E and S, and S needs --files or --stream\n");
        exit(2);
    }
    if (a->total < a->concurrent) a->total = a->concurrent;
}

static void watch(int poll, struct scu *scu) {
    unsigned events = EPOLLIN | (scu->blocked ? EPOLLOUT : 0);
    if (scu->state == SCU_IDLE || scu->events == events) return;
    struct epoll_event event = {.events = events, .data.ptr = scu};
    epoll_ctl(poll, scu->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, scu->channel.fd, &event);
    scu->events = events;
}

static void start_next(int poll, struct scu *scu, long *started, long total) {
    while (scu->state == SCU_IDLE && *started < total) {
        scu_start(scu, (int)(*started)++);
        watch(poll, scu);
    }
}

static void run(struct arguments *a, struct tally *tally) {
    struct scu *all = calloc((size_t)a->concurrent, sizeof *all);
    struct epoll_event events[256];
    int poll = epoll_create1(0);
    long started = 0;
    double deadline = now_seconds() + a->budget;
    if (!all) exit(3);
    for (int i = 0; i < a->concurrent; i++) {
        all[i].plan = &a->plan, all[i].tally = tally;
        start_next(poll, &all[i], &started, a->total);
    }
    while (tally->done + tally->failed < a->total && now_seconds() < deadline) {
        int n = epoll_wait(poll, events, 256, 1000);
        for (int i = 0; i < n; i++) {
            struct scu *scu = events[i].data.ptr;
            if (scu->state == SCU_IDLE) continue;
            scu_ready(scu);
            start_next(poll, scu, &started, a->total);
            watch(poll, scu);
        }
    }
    for (int i = 0; i < a->concurrent; i++)
        if (all[i].state != SCU_IDLE) scu_fail(&all[i], "not done in time");
}

int main(int argc, char **argv) {
    struct arguments a = {.plan = {.operations = "E", .repeat = 1, .max_pdu = 16384}, .concurrent = 1, .budget = 120};
    struct tally tally = {0};
    signal(SIGPIPE, SIG_IGN);
    parse(&a, argc, argv);
    plan_contexts(&a.plan);
    a.plan.tls = tls_context(&a.tls, CLIENT);
    if (a.plan.tls && a.plan.resume) tls_remember_sessions(a.plan.tls);
    double wall = now_seconds(), cpu = cpu_seconds();
    run(&a, &tally);
    wall = now_seconds() - wall, cpu = cpu_seconds() - cpu;
    printf("{\"wall\":%.6f,\"cpu\":%.6f,\"associations\":%ld,\"failed\":%ld,\"resumed\":%ld,\"echoes\":%zu,\"stores\":%zu,\"bytes\":%llu", wall,
           cpu, tally.done, tally.failed, tally.resumed, tally.echo.count, tally.store.count, (unsigned long long)tally.bytes);
    samples_print(&tally.associate, "associate_us");
    samples_print(&tally.echo, "echo_us");
    samples_print(&tally.store, "store_us");
    printf("}\n");
    if (tally.failed) fprintf(stderr, "load: %ld failed; first: %s\n", tally.failed, tally.why);
    if (a.sent && objects_report(&a.plan.objects, a.sent)) return 3;
    return tally.failed || tally.done != a.total;
}
