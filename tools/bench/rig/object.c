/* Data sets to send: see object.h. */
#include "object.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_LENGTH (1u << 20)

static struct object *add(struct objects *set) {
    set->items = realloc(set->items, (size_t)(set->count + 1) * sizeof *set->items);
    if (!set->items) exit(3);
    struct object *object = &set->items[set->count++];
    memset(object, 0, sizeof *object);
    return object;
}

static void read_meta(struct object *object, const uint8_t *file, size_t end) { /* PS3.10 7.1: Explicit VR Little Endian */
    for (size_t i = 132; i + 8 <= end;) {
        int wide = !memcmp(file + i + 4, "OB", 2) || !memcmp(file + i + 4, "UN", 2);
        size_t length = wide ? get_le32(file + i + 8) : get_le16(file + i + 6);
        const uint8_t *value = file + i + (wide ? 12 : 8);
        if (value + length > file + end) break;
        switch (get_le16(file + i + 2)) {
        case 0x0002: copy_uid(object->sop_class, value, length); break;
        case 0x0003: copy_uid(object->sop_instance, value, length); break;
        case 0x0010: copy_uid(object->transfer_syntax, value, length); break;
        default: break;
        }
        i = (size_t)(value - file) + length;
    }
}

static void add_file(struct objects *set, const char *path) {
    struct stat status;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &status) || status.st_size < 160) {
        fprintf(stderr, "load: cannot read %s\n", path);
        exit(2);
    }
    size_t size = (size_t)status.st_size;
    const uint8_t *file = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    close(fd);
    size_t data = file == MAP_FAILED || memcmp(file + 128, "DICM", 4) ? size : 132 + 12 + get_le32(file + 140);
    if (data >= size) {
        fprintf(stderr, "load: %s is not a DICOM file\n", path);
        exit(2);
    }
    struct object *object = add(set);
    read_meta(object, file, data);
    object->head = file + data;
    object->length = object->head_length = size - data;
}

static int visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

void objects_add_folder(struct objects *set, const char *folder) {
    struct dirent **names;
    int count = scandir(folder, &names, visible, alphasort);
    if (count <= 0) {
        fprintf(stderr, "load: no files in %s\n", folder);
        exit(2);
    }
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        add_file(set, path);
        free(names[i]);
    }
    free(names);
}

static size_t element(uint8_t *out, unsigned group, unsigned number, const char *value) { /* Implicit VR Little Endian */
    size_t length = strlen(value), even = (length + 1) & ~(size_t)1;
    const uint8_t header[8] = {(uint8_t)group, (uint8_t)(group >> 8), (uint8_t)number, (uint8_t)(number >> 8), (uint8_t)even, 0, 0, 0};
    memcpy(out, header, 8);
    memset(out + 8, 0, even);
    memcpy(out + 8, value, length);
    return 8 + even;
}

void objects_add_stream(struct objects *set, uint64_t length) {
    struct object *object = add(set);
    uint8_t *head = calloc(1, 512), *block = malloc(BLOCK_LENGTH);
    if (!head || !block) exit(3);
    strcpy(object->sop_class, "1.2.840.10008.5.1.4.1.1.3.1");
    strcpy(object->sop_instance, "1.2.826.0.1.3680043.8.1453.9.2");
    strcpy(object->transfer_syntax, IMPLICIT_LITTLE);
    size_t n = element(head, 0x0008, 0x0016, object->sop_class);
    n += element(head + n, 0x0008, 0x0018, object->sop_instance);
    n += element(head + n, 0x0010, 0x0020, "BENCH");
    uint32_t pixels = (uint32_t)((length - n - 8) & ~(uint64_t)1);
    const uint8_t tag[4] = {0xe0, 0x7f, 0x10, 0x00};
    memcpy(head + n, tag, 4);
    for (int i = 0; i < 4; i++) head[n + 4 + (size_t)i] = (uint8_t)(pixels >> (8 * i));
    uint64_t x = 88172645463325252u; /* xorshift: not compressible, the same every time */
    for (size_t i = 0; i < BLOCK_LENGTH; i += 8) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        memcpy(block + i, &x, 8);
    }
    object->head = head, object->head_length = n + 8;
    object->block = block, object->block_length = BLOCK_LENGTH;
    object->length = object->head_length + pixels;
}

size_t object_at(const struct object *object, uint64_t offset, size_t want, const uint8_t **bytes) {
    uint64_t there;
    if (offset < object->head_length) {
        *bytes = object->head + offset;
        there = object->head_length - offset;
    } else {
        size_t inside = (size_t)((offset - object->head_length) % object->block_length);
        *bytes = object->block + inside;
        there = object->block_length - inside;
        if (there > object->length - offset) there = object->length - offset;
    }
    return there < want ? (size_t)there : want;
}

int objects_report(const struct objects *set, const char *path) {
    FILE *out = fopen(path, "w");
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    if (!out || !hash) return -1;
    for (int i = 0; i < set->count; i++) {
        const struct object *object = &set->items[i];
        const uint8_t *bytes;
        uint8_t digest[EVP_MAX_MD_SIZE];
        EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
        for (uint64_t at = 0; at < object->length;) {
            size_t n = object_at(object, at, BLOCK_LENGTH, &bytes);
            EVP_DigestUpdate(hash, bytes, n);
            at += n;
        }
        EVP_DigestFinal_ex(hash, digest, NULL);
        fprintf(out, "%s ", object->sop_instance);
        for (int b = 0; b < 32; b++) fprintf(out, "%02x", digest[b]);
        fprintf(out, " %llu %llu\n", (unsigned long long)object->length, (unsigned long long)object->sent);
    }
    EVP_MD_CTX_free(hash);
    return fclose(out);
}
