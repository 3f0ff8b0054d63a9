/* Takes a received stream apart: whole PDUs of association control, whole command sets, data set bytes as they come. */
#ifndef BENCH_READER_H
#define BENCH_READER_H

#include <stddef.h>
#include <stdint.h>

#define READER_SIZE 32768 /* longest PDU of association control and command set */

struct reader {
    void *owner;
    /* each returns 0 to go on; `pdu` has its 6 byte header */
    int (*on_pdu)(void *owner, const uint8_t *pdu, size_t length);
    int (*on_command)(void *owner, unsigned context_id, const uint8_t *set, size_t length);
    int (*on_data)(void *owner, const uint8_t *bytes, size_t length, int last);

    uint8_t header[6];
    size_t header_have;
    uint32_t pdu_left, value_left; /* of the PDU, of the PDV in it */
    unsigned pdu_type, context_id, control;
    size_t kept; /* in `keep` */
    uint8_t keep[READER_SIZE];
};

/* Feeds received bytes. Returns 0, what a callback returned, or -1 for a stream that is not DICOM. */
int reader_feed(struct reader *reader, const uint8_t *bytes, size_t length);

#endif
