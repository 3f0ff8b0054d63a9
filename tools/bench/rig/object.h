/* Data sets to send: files mapped into memory, or one object of any length made as it goes. */
#ifndef BENCH_OBJECT_H
#define BENCH_OBJECT_H

#include "wire.h"

struct object {
    char sop_class[UID_SIZE], sop_instance[UID_SIZE], transfer_syntax[UID_SIZE];
    const uint8_t *head; /* the first bytes as they are */
    size_t head_length;
    const uint8_t *block; /* then this block again and again, up to `length` */
    size_t block_length;
    uint64_t length;
    unsigned context_id;
    uint64_t sent; /* how often it was acknowledged */
};

struct objects {
    struct object *items;
    int count;
};

/* Adds every DICOM file of a folder (sorted by name); exits with a message when there is none. */
void objects_add_folder(struct objects *set, const char *folder);

/* Adds one ultrasound multi-frame object whose data set has about `length` bytes (under 4 GiB). */
void objects_add_stream(struct objects *set, uint64_t length);

/* Points *bytes at the data set's bytes from `offset` on; returns how many lie together there, at most `want`. */
size_t object_at(const struct object *object, uint64_t offset, size_t want, const uint8_t **bytes);

/* Writes one line an object: instance UID, SHA-256, length, times acknowledged. */
int objects_report(const struct objects *set, const char *path);

#endif
