/* Time, and latencies with their percentiles: see samples.h. */
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double clock_seconds(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double now_seconds(void) { return clock_seconds(CLOCK_MONOTONIC); }
double cpu_seconds(void) { return clock_seconds(CLOCK_PROCESS_CPUTIME_ID); }

void samples_add(struct samples *samples, double seconds) {
    if (samples->count == samples->room) {
        samples->room = samples->room ? 2 * samples->room : 1024;
        samples->values = realloc(samples->values, samples->room * sizeof *samples->values);
        if (!samples->values) exit(3);
    }
    samples->values[samples->count++] = (float)(seconds * 1e6);
}

static int compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

void samples_print(struct samples *samples, const char *name) {
    size_t n = samples->count;
    if (!n) {
        printf(",\"%s\":null", name);
        return;
    }
    qsort(samples->values, n, sizeof *samples->values, compare);
    printf(",\"%s\":{\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}", name, (double)samples->values[n / 2],
           (double)samples->values[n * 99 / 100], (double)samples->values[n - 1]);
}
