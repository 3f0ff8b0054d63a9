/* Time, and latencies with their percentiles. */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>

struct samples {
    float *values; /* microseconds */
    size_t count, room;
};

double now_seconds(void);
double cpu_seconds(void); /* of this process */
void samples_add(struct samples *samples, double seconds);
void samples_print(struct samples *samples, const char *name); /* `,"name":{...}`; sorts */

#endif
