/* Takes a received stream apart: see reader.h. PS3.8 9.3.1, 9.3.5, annex E. */
#include "reader.h"

#include "wire.h"

#include <string.h>

enum { COMMAND = 1, LAST = 2 }; /* message control header, PS3.8 E.2 */

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static int keep(struct reader *reader, const uint8_t *bytes, size_t length) {
    if (length > READER_SIZE - reader->kept) return -1;
    memcpy(reader->keep + reader->kept, bytes, length);
    reader->kept += length;
    return 0;
}

static int end_of_value(struct reader *reader) {
    size_t length = reader->kept;
    if (reader->control != (COMMAND | LAST)) return 0;
    reader->kept = 0;
    return reader->on_command(reader->owner, reader->context_id, reader->keep, length);
}

static int take_header(struct reader *reader) {
    const uint8_t *header = reader->header;
    reader->header_have = 0;
    if (!reader->pdu_left) { /* of a PDU */
        reader->pdu_type = header[0];
        reader->pdu_left = get_be32(header + 2);
        if (header[0] == PDU_DATA) return reader->pdu_left < 6 ? -1 : 0;
        reader->kept = 0;
        if (keep(reader, header, 6) || reader->pdu_left > READER_SIZE - 6) return -1;
        return reader->pdu_left ? 0 : -1;
    }
    uint32_t item = get_be32(header); /* of a PDV: its length counts identifier and control */
    reader->context_id = header[4], reader->control = header[5];
    if (item < 2 || item > reader->pdu_left - 4) return -1;
    reader->value_left = item - 2;
    reader->pdu_left -= 6;
    if (!reader->value_left && !(reader->control & COMMAND)) return reader->on_data(reader->owner, header, 0, reader->control & LAST);
    return reader->value_left ? 0 : end_of_value(reader);
}

static int take_value(struct reader *reader, const uint8_t *bytes, size_t n) {
    reader->value_left -= (uint32_t)n, reader->pdu_left -= (uint32_t)n;
    if (!(reader->control & COMMAND)) return reader->on_data(reader->owner, bytes, n, !reader->value_left && (reader->control & LAST));
    if (keep(reader, bytes, n)) return -1;
    return reader->value_left ? 0 : end_of_value(reader);
}

int reader_feed(struct reader *reader, const uint8_t *bytes, size_t length) {
    int result = 0;
    while (length && !result) {
        size_t n;
        if (reader->value_left) {
            n = smaller(length, reader->value_left);
            result = take_value(reader, bytes, n);
        } else if (reader->pdu_left && reader->pdu_type != PDU_DATA) {
            n = smaller(length, reader->pdu_left);
            reader->pdu_left -= (uint32_t)n;
            result = keep(reader, bytes, n);
            if (!result && !reader->pdu_left) {
                size_t whole = reader->kept;
                reader->kept = 0;
                result = reader->on_pdu(reader->owner, reader->keep, whole);
            }
        } else {
            n = smaller(length, 6 - reader->header_have);
            memcpy(reader->header + reader->header_have, bytes, n);
            reader->header_have += n;
            if (reader->header_have == 6) result = take_header(reader);
        }
        bytes += n, length -= n;
    }
    return result;
}
