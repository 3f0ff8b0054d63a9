/* PDUs and command sets of the bench rig: see wire.h. */
#include "wire.h"

#include <string.h>

static void put_be16(uint8_t *p, unsigned v) { p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v; }
static void put_be32(uint8_t *p, uint32_t v) { put_be16(p, v >> 16), put_be16(p + 2, v & 0xffff); }
static void put_le16(uint8_t *p, unsigned v) { p[0] = (uint8_t)v, p[1] = (uint8_t)(v >> 8); }
static void put_le32(uint8_t *p, uint32_t v) { put_le16(p, v & 0xffff), put_le16(p + 2, v >> 16); }

void copy_uid(char out[UID_SIZE], const uint8_t *value, size_t length) {
    if (length > UID_SIZE - 1) length = UID_SIZE - 1;
    while (length && (value[length - 1] == 0 || value[length - 1] == ' ')) length--;
    memcpy(out, value, length);
    out[length] = 0;
}

static uint8_t *put_item(uint8_t *p, unsigned type, const char *text) { /* PS3.8 9.3.2: type, reserved, length, value */
    size_t length = strlen(text);
    p[0] = (uint8_t)type, p[1] = 0;
    put_be16(p + 2, (unsigned)length);
    memcpy(p + 4, text, length);
    return p + 4 + length;
}

static uint8_t *put_user_information(uint8_t *p, uint32_t max_pdu) { /* PS3.8 9.3.2.3, D.1.1; PS3.7 D.3.3.2 */
    uint8_t *item = p;
    item[0] = 0x50, item[1] = 0, item[4] = 0x51, item[5] = 0;
    put_be16(item + 6, 4);
    put_be32(item + 8, max_pdu);
    p = put_item(item + 12, 0x52, "1.2.826.0.1.3680043.8.1453.9");
    p = put_item(p, 0x55, "BENCHRIG");
    put_be16(item + 2, (unsigned)(p - item - 4));
    return p;
}

static size_t close_pdu(uint8_t *out, enum pdu_type type, const uint8_t *end) {
    out[0] = (uint8_t)type, out[1] = 0;
    put_be32(out + 2, (uint32_t)(end - out - 6));
    return (size_t)(end - out);
}

size_t write_associate_rq(uint8_t *out, const struct context *contexts, int count, uint32_t max_pdu) {
    memset(out, 0, 74);
    put_be16(out + 6, 1);
    memset(out + 10, ' ', 32);
    memcpy(out + 10, "ANY-SCP", 7);
    memcpy(out + 26, "BENCHLOAD", 9);
    uint8_t *p = put_item(out + 74, 0x10, "1.2.840.10008.3.1.1.1");
    for (int i = 0; i < count; i++) {
        uint8_t *item = p;
        memset(item, 0, 8);
        item[0] = 0x20, item[4] = (uint8_t)(2 * i + 1);
        p = put_item(item + 8, 0x30, contexts[i].abstract_syntax);
        p = put_item(p, 0x40, contexts[i].transfer_syntax);
        put_be16(item + 2, (unsigned)(p - item - 4));
    }
    return close_pdu(out, PDU_RQ, put_user_information(p, max_pdu));
}

size_t write_release(uint8_t *out, enum pdu_type type) {
    memset(out, 0, RELEASE_SIZE);
    return close_pdu(out, type, out + RELEASE_SIZE);
}

static uint8_t *put_us(uint8_t *p, unsigned element, unsigned value) {
    put_le16(p, 0), put_le16(p + 2, element), put_le32(p + 4, 2), put_le16(p + 8, value);
    return p + 10;
}

static uint8_t *put_ui(uint8_t *p, unsigned element, const char *uid) {
    size_t length = strlen(uid), even = (length + 1) & ~(size_t)1;
    put_le16(p, 0), put_le16(p + 2, element), put_le32(p + 4, (uint32_t)even);
    memset(p + 8, 0, even);
    memcpy(p + 8, uid, length);
    return p + 8 + even;
}

void write_fragment_header(uint8_t *out, uint32_t fragment, unsigned context_id, int last) {
    out[0] = PDU_DATA, out[1] = 0;
    put_be32(out + 2, fragment + 6);
    put_be32(out + 6, fragment + 2);
    out[10] = (uint8_t)context_id, out[11] = last ? 2 : 0;
}

static size_t close_command(uint8_t *out, const uint8_t *end, unsigned context_id) {
    uint8_t *set = out + FRAGMENT_HEADER; /* the group length element is its first 12 bytes */
    put_le16(set, 0), put_le16(set + 2, 0), put_le32(set + 4, 4);
    put_le32(set + 8, (uint32_t)(end - set - 12));
    write_fragment_header(out, (uint32_t)(end - set), context_id, 1);
    out[11] = 3; /* command, last fragment */
    return (size_t)(end - out);
}

size_t write_request(uint8_t *out, enum command_field field, unsigned message_id, unsigned context_id, const char *sop_class,
                     const char *sop_instance) {
    uint8_t *p = put_ui(out + FRAGMENT_HEADER + 12, 0x0002, sop_class);
    p = put_us(p, 0x0100, field);
    p = put_us(p, 0x0110, message_id);
    if (field == C_STORE_RQ) p = put_us(p, 0x0700, 0);
    p = put_us(p, 0x0800, field == C_STORE_RQ ? 0x0001 : 0x0101);
    if (field == C_STORE_RQ) p = put_ui(p, 0x1000, sop_instance);
    return close_command(out, p, context_id);
}

size_t write_response(uint8_t *out, const struct command *request, unsigned context_id) {
    uint8_t *p = put_ui(out + FRAGMENT_HEADER + 12, 0x0002, request->sop_class);
    p = put_us(p, 0x0100, request->field | 0x8000);
    p = put_us(p, 0x0120, request->message_id);
    p = put_us(p, 0x0800, 0x0101);
    p = put_us(p, 0x0900, 0x0000);
    if (request->field == C_STORE_RQ) p = put_ui(p, 0x1000, request->sop_instance);
    return close_command(out, p, context_id);
}

size_t answer_associate(uint8_t *out, const uint8_t *rq, size_t length, uint32_t max_pdu) {
    if (length < 74 || length > ASSOCIATE_SIZE) return 0;
    memcpy(out, rq, 74);
    uint8_t *p = put_item(out + 74, 0x10, "1.2.840.10008.3.1.1.1");
    for (size_t i = 74; i + 4 <= length;) {
        size_t size = get_be16(rq + i + 2), end = i + 4 + size;
        if (end > length) return 0;
        if (rq[i] == 0x20 && size >= 4)
            for (size_t j = i + 8; j + 4 <= end; j += 4 + get_be16(rq + j + 2)) {
                size_t uid = get_be16(rq + j + 2);
                if (rq[j] != 0x40) continue;
                if (j + 4 + uid > end) return 0;
                memset(p, 0, 8);
                p[0] = 0x21, p[4] = rq[i + 4]; /* PS3.8 9.3.3.2: identifier, reserved, result 0, reserved */
                put_be16(p + 2, (unsigned)(uid + 8));
                memcpy(p + 8, rq + j, 4 + uid);
                p += 12 + uid;
                break;
            }
        i = end;
    }
    return close_pdu(out, PDU_AC, put_user_information(p, max_pdu));
}

int read_associate_ac(const uint8_t *ac, size_t length, uint32_t *max_pdu) {
    int accepted = 0;
    *max_pdu = 0;
    for (size_t i = 74; i + 4 <= length;) {
        size_t end = i + 4 + get_be16(ac + i + 2);
        if (end > length) return -1;
        if (ac[i] == 0x21 && end >= i + 8 && ac[i + 6] == 0) accepted++;
        if (ac[i] == 0x50)
            for (size_t j = i + 4; j + 8 <= end; j += 4 + get_be16(ac + j + 2))
                if (ac[j] == 0x51) *max_pdu = get_be32(ac + j + 4);
        i = end;
    }
    return accepted;
}

int read_command(struct command *out, const uint8_t *bytes, size_t length) {
    memset(out, 0, sizeof *out);
    out->status = 0xffff;
    for (size_t i = 0; i + 8 <= length;) {
        uint32_t size = get_le32(bytes + i + 4);
        const uint8_t *value = bytes + i + 8;
        if (size > length - i - 8 || get_le16(bytes + i) != 0) return -1;
        unsigned word = size >= 2 ? get_le16(value) : 0;
        switch (get_le16(bytes + i + 2)) {
        case 0x0002: copy_uid(out->sop_class, value, size); break;
        case 0x0100: out->field = word; break;
        case 0x0110: out->message_id = word; break;
        case 0x0120: out->responded_id = word; break;
        case 0x0800: out->has_data_set = word != 0x0101; break;
        case 0x0900: out->status = word; break;
        case 0x1000: copy_uid(out->sop_instance, value, size); break;
        default: break;
        }
        i += 8 + size;
    }
    return 0;
}
