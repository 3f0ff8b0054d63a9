/* The few DICOM PDUs and command sets (PS3.7, PS3.8) that a load generator and a sink need. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define UID_SIZE 65 /* PS3.5 9.1: at most 64 characters */
#define VERIFICATION "1.2.840.10008.1.1"
#define IMPLICIT_LITTLE "1.2.840.10008.1.2"
#define MAX_CONTEXTS 128
#define COMMAND_SIZE 512 /* largest command PDU made here */
#define ASSOCIATE_SIZE 32768
#define RELEASE_SIZE 10
#define FRAGMENT_HEADER 12 /* P-DATA-TF header (6) and PDV item header (6), PS3.8 9.3.5 */

enum pdu_type { PDU_RQ = 1, PDU_AC = 2, PDU_RJ = 3, PDU_DATA = 4, PDU_RELEASE_RQ = 5, PDU_RELEASE_RP = 6, PDU_ABORT = 7 };
enum command_field { C_STORE_RQ = 0x0001, C_STORE_RSP = 0x8001, C_ECHO_RQ = 0x0030, C_ECHO_RSP = 0x8030 };

struct context { /* a presentation context proposed by us: identifier 2 * index + 1 */
    char abstract_syntax[UID_SIZE], transfer_syntax[UID_SIZE];
};

struct command { /* what is read of a command set */
    unsigned field, message_id, responded_id, status;
    int has_data_set;
    char sop_class[UID_SIZE], sop_instance[UID_SIZE];
};

static inline unsigned get_be16(const uint8_t *p) { return (unsigned)p[0] << 8 | p[1]; }
static inline uint32_t get_be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }
static inline unsigned get_le16(const uint8_t *p) { return (unsigned)p[1] << 8 | p[0]; }
static inline uint32_t get_le32(const uint8_t *p) { return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0]; }

void copy_uid(char out[UID_SIZE], const uint8_t *value, size_t length);

/* Each writes one PDU and returns its size. */
size_t write_associate_rq(uint8_t *out, const struct context *contexts, int count, uint32_t max_pdu);
size_t write_release(uint8_t *out, enum pdu_type type);
size_t write_request(uint8_t *out, enum command_field field, unsigned message_id, unsigned context_id, const char *sop_class,
                     const char *sop_instance);
size_t write_response(uint8_t *out, const struct command *request, unsigned context_id);
void write_fragment_header(uint8_t *out, uint32_t fragment, unsigned context_id, int last);

/* Makes the A-ASSOCIATE-AC that accepts every context with its first transfer syntax. `out` holds ASSOCIATE_SIZE; 0: malformed. */
size_t answer_associate(uint8_t *out, const uint8_t *rq, size_t length, uint32_t max_pdu);

/* Reads an A-ASSOCIATE-AC: returns the number of accepted contexts, *max_pdu the peer's maximum length (0: unlimited). */
int read_associate_ac(const uint8_t *ac, size_t length, uint32_t *max_pdu);

/* Reads a command set (Implicit VR Little Endian). Returns 0, or -1 when malformed. */
int read_command(struct command *out, const uint8_t *bytes, size_t length);

#endif
