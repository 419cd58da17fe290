/* SPDX-License-Identifier: MIT */
/*
 * Writing the wire form: first the exact size, then the bytes.
 *
 * Model: bh_wire_size() walks the values and makes every check there is; bh_wire_write() walks them
 * again and copies. Both recurse, never deeper than BHI_DEPTH_MAX.
 *
 * Invariants: what bh_wire_write() wrote, bh_wire_view() accepts under the same limits, provided
 * that keys are unique, as bh_map_set() keeps them. Every byte of the message is written, padding
 * as zeros, so that nothing of the process's memory leaks into it. No byte beyond `size` is
 * touched, whatever the values are.
 */
#include "utf8.h"
#include "wire.h"

#include <string.h>

bool bhi_wire_is_scalar(unsigned type)
{
    return type >= BH_BOOL && type <= BH_TIMESTAMP;
}

uint64_t bhi_wire_payload(unsigned type, uint32_t length)
{
    if (bhi_wire_is_scalar(type))
        return sizeof(uint64_t);
    if (type == BH_ERROR)
        return sizeof(struct bhi_wire_error) + (uint64_t)length;
    return (uint64_t)length * bhi_element_size(type);
}

uint64_t bhi_wire_padded(uint64_t size)
{
    return (size + BHI_WIRE_ALIGN - 1) & ~(uint64_t)(BHI_WIRE_ALIGN - 1);
}

/* The header of a value whose length fits. */
static struct bhi_wire_header header_of(const bh_value *value)
{
    uint32_t length = bhi_wire_is_scalar(value->type) ? sizeof(uint64_t) : (uint32_t)value->length;

    return (struct bhi_wire_header){value->type, length};
}

/* ---- the size ---- */

struct measure {
    struct bh_value_limits limits;
    uint64_t count;
    uint64_t bytes;
};

static int measure_value(struct measure *m, const bh_value *value, unsigned depth);

/* Checks what one value itself can have wrong. */
static int check_value(const bh_value *value)
{
    if (value->type >= BH_HANDLE)
        return BH_E_TYPE;
    if (value->length > UINT32_MAX)
        return BH_E_TOO_LARGE;
    if (value->type == BH_STRING || value->type == BH_ERROR)
        return bhi_utf8_valid(value->as.string, (size_t)value->length) ? BH_OK : BH_E_UTF8;
    return BH_OK;
}

static int measure_container(struct measure *m, const bh_value *container, unsigned depth)
{
    const bh_value *values = bhi_container_values(container);
    uint64_t count = bhi_container_count(container);

    if (depth >= m->limits.depth)
        return BH_E_DEPTH;
    if (count > m->limits.count - m->count)
        return BH_E_TOO_LARGE;
    for (uint64_t i = 0; i < count; i++) {
        if (container->type == BH_MAP && i % 2 == 0 && values[i].type != BH_STRING)
            return BH_E_TYPE;
        int rc = measure_value(m, &values[i], depth + 1);
        if (rc != BH_OK)
            return rc;
    }
    return BH_OK;
}

static int measure_value(struct measure *m, const bh_value *value, unsigned depth)
{
    if (m->count++ >= m->limits.count)
        return BH_E_TOO_LARGE;
    int rc = check_value(value);
    if (rc != BH_OK)
        return rc;
    struct bhi_wire_header header = header_of(value);
    uint64_t size = sizeof(header) + bhi_wire_padded(bhi_wire_payload(header.type, header.length));
    if (size > m->limits.bytes - m->bytes)
        return BH_E_TOO_LARGE;
    m->bytes += size;
    return bhi_is_container(value) ? measure_container(m, value, depth) : BH_OK;
}

int bh_wire_size(const bh_value *values, size_t count, const struct bh_value_limits *limits,
                 size_t *size)
{
    struct measure m = {.limits = bhi_limits(limits)};

    for (size_t i = 0; i < count; i++) {
        int rc = measure_value(&m, &values[i], 0);
        if (rc != BH_OK)
            return rc;
    }
    if (m.bytes > SIZE_MAX)
        return BH_E_TOO_LARGE;
    *size = (size_t)m.bytes;
    return BH_OK;
}

/* ---- the bytes ---- */

struct writer {
    unsigned char *at;
    size_t left;
};

static int put(struct writer *w, const void *data, size_t size)
{
    if (size > w->left)
        return BH_E_TOO_LARGE;
    if (size > 0)
        memcpy(w->at, data, size);
    w->at += size;
    w->left -= size;
    return BH_OK;
}

static int put_padded(struct writer *w, const void *data, uint64_t size)
{
    static const unsigned char zeros[BHI_WIRE_ALIGN];

    if (size > w->left)
        return BH_E_TOO_LARGE;
    int rc = put(w, data, (size_t)size);
    return rc != BH_OK ? rc : put(w, zeros, (size_t)(bhi_wire_padded(size) - size));
}

static int put_payload(struct writer *w, const bh_value *value)
{
    if (value->type == BH_BOOL) {
        uint64_t word = value->as.boolean; /* the union's other bytes are anything */
        return put(w, &word, sizeof(word));
    }
    if (bhi_wire_is_scalar(value->type))
        return put(w, &value->as.uint64, sizeof(uint64_t));
    if (value->type == BH_ERROR) {
        struct bhi_wire_error error = {.code = value->code};
        int rc = put(w, &error, sizeof(error));
        return rc != BH_OK ? rc : put_padded(w, value->as.string, value->length);
    }
    return put_padded(w, value->as.bytes, value->length * bhi_element_size(value->type));
}

/* Checks the depth again although bh_wire_size() did: a caller that ignored its answer must not run
 * out of stack here. */
static int put_value(struct writer *w, const bh_value *value, unsigned depth)
{
    struct bhi_wire_header header = header_of(value);
    int rc = put(w, &header, sizeof(header));

    if (rc != BH_OK || !bhi_is_container(value))
        return rc != BH_OK ? rc : put_payload(w, value);
    if (depth >= BHI_DEPTH_MAX)
        return BH_E_TOO_LARGE;
    for (uint64_t i = 0; rc == BH_OK && i < bhi_container_count(value); i++)
        rc = put_value(w, bhi_container_values(value) + i, depth + 1);
    return rc;
}

int bh_wire_write(void *buffer, size_t size, const bh_value *values, size_t count)
{
    struct writer w = {buffer, size};
    int rc = BH_OK;

    for (size_t i = 0; rc == BH_OK && i < count; i++)
        rc = put_value(&w, &values[i], 0);
    return rc;
}
