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

/* ---- what goes beside the message ---- */

static uint64_t aside_padded(uint64_t size)
{
    return (size + BHI_WIRE_ASIDE_ALIGN - 1) & ~(uint64_t)(BHI_WIRE_ASIDE_ALIGN - 1);
}

static uint64_t block_bytes(const bh_value *value)
{
    return value->length * bhi_element_size(value->type);
}

/* Whether a block of `size` bytes lies beside the message already, as its type must be aligned. */
static bool lies_aside(const struct bhi_wire_aside *aside, const bh_value *value, uint64_t size)
{
    uintptr_t base = (uintptr_t)aside->memory;
    uintptr_t at = (uintptr_t)value->as.bytes;

    return aside->used > 0 && at >= base && at - base <= aside->used &&
           size <= aside->used - (at - base) && (at - base) % bhi_element_size(value->type) == 0;
}

static bool goes_aside(const struct bhi_wire_aside *aside, const bh_value *value)
{
    uint64_t size = block_bytes(value);

    return size >= BHI_WIRE_ASIDE_LEAST && value->type != BH_ERROR &&
           (aside->room != NULL || lies_aside(aside, value, size));
}

struct aside_sum {
    const struct bhi_wire_aside *aside;
    uint64_t saved; /* bytes that the message is shorter */
    uint64_t behind;
};

static void add_aside(struct aside_sum *sum, const bh_value *value, unsigned depth)
{
    uint64_t size = block_bytes(value);

    if (bhi_is_container(value) && depth < BHI_DEPTH_MAX) {
        uint64_t count = bhi_container_count(value);
        /* A map's keys stay: see put_value(). */
        for (uint64_t i = value->type == BH_MAP; i < count; i += 1 + (value->type == BH_MAP))
            add_aside(sum, bhi_container_values(value) + i, depth + 1);
    } else if (goes_aside(sum->aside, value)) {
        sum->saved += bhi_wire_padded(size) - sizeof(uint64_t);
        sum->behind += lies_aside(sum->aside, value, size) ? 0 : aside_padded(size);
    }
}

size_t bhi_wire_aside_size(const struct bhi_wire_aside *aside, const bh_value *values, size_t count,
                           size_t size, uint64_t *behind)
{
    struct aside_sum sum = {.aside = aside};

    for (size_t i = 0; i < count; i++)
        add_aside(&sum, &values[i], 0);
    *behind = sum.behind;
    return size - (size_t)sum.saved;
}

/* ---- the bytes ---- */

struct writer {
    unsigned char *at;
    size_t left;
    const struct bhi_wire_aside *aside; /* NULL: everything is in the message */
    uint64_t behind;                    /* where the next payload beside it goes */
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

/* Writes a value with its payload, a container without its values. */
static int put_here(struct writer *w, const bh_value *value)
{
    struct bhi_wire_header header = header_of(value);
    int rc = put(w, &header, sizeof(header));

    return rc != BH_OK || bhi_is_container(value) ? rc : put_payload(w, value);
}

/* Writes a value whose payload lies beside the message, or is copied there now. */
static int put_aside(struct writer *w, const bh_value *value, uint64_t size)
{
    const struct bhi_wire_aside *aside = w->aside;
    struct bhi_wire_header header = header_of(value);
    uint64_t offset = w->behind;

    header.type |= BHI_WIRE_ASIDE;
    if (lies_aside(aside, value, size)) {
        offset = (uint64_t)(value->as.bytes - aside->memory);
    } else {
        memmove(aside->room + offset, value->as.bytes, (size_t)size); /* it may lie partly there */
        w->behind += aside_padded(size);
    }
    int rc = put(w, &header, sizeof(header));
    return rc != BH_OK ? rc : put(w, &offset, sizeof(offset));
}

/* Checks the depth again although bh_wire_size() did: a caller that ignored its answer must not run
 * out of stack here. */
static int put_value(struct writer *w, const bh_value *value, unsigned depth)
{
    if (w->aside != NULL && goes_aside(w->aside, value))
        return put_aside(w, value, block_bytes(value));
    int rc = put_here(w, value);

    if (rc != BH_OK || !bhi_is_container(value))
        return rc;
    if (depth >= BHI_DEPTH_MAX)
        return BH_E_TOO_LARGE;
    for (uint64_t i = 0; rc == BH_OK && i < bhi_container_count(value); i++) {
        const bh_value *inner = bhi_container_values(value) + i;
        rc = value->type == BH_MAP && i % 2 == 0 ? put_here(w, inner)
                                                 : put_value(w, inner, depth + 1);
    }
    return rc;
}

int bh_wire_write(void *buffer, size_t size, const bh_value *values, size_t count)
{
    return bhi_wire_aside_write(NULL, buffer, size, values, count);
}

/* ---- beside the message ---- */

int bhi_wire_aside_write(const struct bhi_wire_aside *aside, void *buffer, size_t size,
                         const bh_value *values, size_t count)
{
    struct writer w = {buffer, size, aside, aside != NULL ? aside_padded(aside->used) : 0};
    int rc = BH_OK;

    for (size_t i = 0; rc == BH_OK && i < count; i++)
        rc = put_value(&w, &values[i], 0);
    return rc;
}
