/* SPDX-License-Identifier: MIT */
/*
 * Reading the wire form in place.
 *
 * Model: two passes over the buffer with one cursor, neither of them recursive. survey() makes
 * every check that needs no memory and counts the slots of all tables. Then one block is allocated
 * for all tables, and build() fills it: values that view the buffer. Duplicate keys are looked for
 * when a map is complete, in scratch that is as large as the largest map.
 *
 * Invariants: nothing is allocated for a message that fails survey(); a slot costs its sender at
 * least 8 bytes, so the block is at most three times the message, and the scratch at most twice. No
 * length is used before it is compared with what is left of the buffer. build() relies on survey()
 * and on the buffer staying as it is, which the public header demands. The form is canonical: what
 * is accepted and written again gives the same bytes.
 */
#include "alloc.h"
#include "keys.h"
#include "problem.h"
#include "utf8.h"
#include "wire.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

struct reader {
    const unsigned char *base;
    size_t size;
    size_t at;
    struct bh_value_limits limits;
    struct bh_problem *problem;
    const struct bhi_wire_side *side; /* NULL: every payload is in the message */
    uint64_t aside;                   /* bytes of payload in it, as often as they are named */
};

/* What survey() finds out. */
struct plan {
    uint64_t roots;   /* values in sequence at the top */
    uint64_t count;   /* values in all */
    uint64_t largest; /* members of the largest map */
};

/* A container that survey() is in. */
struct level {
    uint64_t left; /* values to come; even in a map: the next one is a key */
    bool map;
};

static int fail(const struct reader *r, int code, size_t offset, const char *what)
{
    return bhi_problem_set(r->problem, code, 0, "byte %" PRIu64 ": %s", (uint64_t)offset, what);
}

/* ---- the survey ---- */

static bool all_zero(const unsigned char *bytes, size_t size)
{
    while (size > 0 && bytes[size - 1] == 0)
        size--;
    return size == 0;
}

static uint64_t word_at(const struct reader *r, size_t at)
{
    uint64_t word;

    memcpy(&word, r->base + at, sizeof(word));
    return word;
}

/* Text is `skip` bytes into the payload: an error's code comes first. */
static int check_text(const struct reader *r, size_t payload, size_t skip, uint32_t length)
{
    const char *text = (const char *)r->base + payload + skip;
    size_t good = bhi_utf8_valid_prefix(text, length);

    if (good < length)
        return fail(r, BH_E_UTF8, payload + skip + good, "not valid UTF-8");
    return BH_OK;
}

static int check_payload(const struct reader *r, struct bhi_wire_header header, size_t payload)
{
    switch (header.type) {
    case BH_BOOL:
        if (word_at(r, payload) > 1)
            return fail(r, BH_E_SYNTAX, payload, "a bool is neither 0 nor 1");
        return BH_OK;
    case BH_STRING:
        return check_text(r, payload, 0, header.length);
    case BH_ERROR:
        if (!all_zero(r->base + payload + offsetof(struct bhi_wire_error, zero), sizeof(uint32_t)))
            return fail(r, BH_E_SYNTAX, payload, "the word behind an error's code is not zero");
        return check_text(r, payload, sizeof(struct bhi_wire_error), header.length);
    default:
        return BH_OK;
    }
}

static int check_header(const struct reader *r, struct bhi_wire_header header, bool key)
{
    if (header.type == BH_HANDLE)
        return fail(r, BH_E_SYNTAX, r->at, "handles cannot be sent");
    if (header.type > BH_HANDLE)
        return fail(r, BH_E_SYNTAX, r->at, "unknown type");
    if (key && header.type != BH_STRING)
        return fail(r, BH_E_SYNTAX, r->at, "a map's key is no string");
    if (header.type == BH_NULL && header.length != 0)
        return fail(r, BH_E_SYNTAX, r->at, "a null has a length");
    if (bhi_wire_is_scalar(header.type) && header.length != sizeof(uint64_t))
        return fail(r, BH_E_SYNTAX, r->at, "a scalar's length is not 8");
    return BH_OK;
}

/* Checks that a payload lies in the memory beside the message, and strings where it is trusted. A
 * hostile message may name the same memory often: it counts each time. */
static int check_aside(struct reader *r, struct bhi_wire_header header, size_t payload)
{
    size_t element = bhi_element_size(header.type);
    uint64_t size = header.length * (uint64_t)element;
    uint64_t offset = word_at(r, payload);

    if (offset > r->side->bytes || size > r->side->bytes - offset)
        return fail(r, BH_E_SYNTAX, r->at, "a payload lies outside of the memory that was sent");
    if (offset % element != 0)
        return fail(r, BH_E_SYNTAX, r->at, "a payload beside the message is not aligned");
    if (size > r->limits.bytes - r->size - r->aside)
        return fail(r, BH_E_TOO_LARGE, r->at, "the payloads beside the message are too large");
    r->aside += size;
    if (header.type == BH_STRING && r->side->trusted &&
        !bhi_utf8_valid((const char *)r->side->base + offset, (size_t)size))
        return fail(r, BH_E_UTF8, r->at, "not valid UTF-8");
    return BH_OK;
}

/* A value whose payload is one word that says where it lies. */
static int check_reference(struct reader *r, bool key, struct bhi_wire_header *header)
{
    size_t payload = r->at + sizeof(*header);

    header->type &= ~BHI_WIRE_ASIDE;
    if (r->side == NULL)
        return fail(r, BH_E_SYNTAX, r->at, "no memory was sent for a payload beside the message");
    if (key || bhi_element_size(header->type) == 0 || header->type == BH_ERROR)
        return fail(r, BH_E_SYNTAX, r->at, "a value of this type cannot lie beside the message");
    if (r->size - payload < sizeof(uint64_t))
        return fail(r, BH_E_SYNTAX, r->at, "the message ends within a reference");
    int rc = check_aside(r, *header, payload);
    r->at = payload + sizeof(uint64_t);
    return rc;
}

/* Checks one value at the cursor, a container only up to its items, and steps over it. */
static int check_value(struct reader *r, bool key, struct bhi_wire_header *header)
{
    if (r->size - r->at < sizeof(*header))
        return fail(r, BH_E_SYNTAX, r->at, "the message ends within a header");
    memcpy(header, r->base + r->at, sizeof(*header));
    if ((header->type & ~0xfu) == BHI_WIRE_ASIDE)
        return check_reference(r, key, header);
    int rc = check_header(r, *header, key);
    if (rc != BH_OK)
        return rc;
    uint64_t size = bhi_wire_payload(header->type, header->length);
    size_t payload = r->at + sizeof(*header);
    if (bhi_wire_padded(size) > r->size - payload)
        return fail(r, BH_E_SYNTAX, r->at, "a value is longer than the rest of the message");
    rc = check_payload(r, *header, payload);
    if (rc != BH_OK)
        return rc;
    if (!all_zero(r->base + payload + (size_t)size, (size_t)(bhi_wire_padded(size) - size)))
        return fail(r, BH_E_SYNTAX, payload + (size_t)size, "padding is not zero");
    r->at = payload + (size_t)bhi_wire_padded(size);
    return BH_OK;
}

/* Checks that a container can have as many values as it says, against the limits and against the
 * bytes that are left, and opens a level for them. `at` is the container's own offset. */
static int enter(struct reader *r, struct plan *plan, struct bhi_wire_header header, size_t at,
                 struct level *levels, unsigned *depth)
{
    bool map = header.type == BH_MAP;
    uint64_t count = map ? (uint64_t)header.length * 2 : header.length;

    if (*depth >= r->limits.depth)
        return fail(r, BH_E_DEPTH, at, "nested too deep");
    if (count > (r->size - r->at) / sizeof(header))
        return fail(r, BH_E_SYNTAX, at, "a container is longer than the rest of the message");
    if (count > r->limits.count - plan->count)
        return fail(r, BH_E_TOO_LARGE, at, "too many values");
    if (map && header.length > plan->largest)
        plan->largest = header.length;
    levels[(*depth)++] = (struct level){count, map};
    return BH_OK;
}

static int survey_value(struct reader *r, struct plan *plan, struct level *levels, unsigned *depth)
{
    struct level *level = *depth ? &levels[*depth - 1] : NULL;
    struct bhi_wire_header header;
    size_t at = r->at;

    if (plan->count >= r->limits.count)
        return fail(r, BH_E_TOO_LARGE, at, "too many values");
    int rc = check_value(r, level && level->map && level->left % 2 == 0, &header);
    if (rc != BH_OK)
        return rc;
    plan->count++;
    if (level)
        level->left--;
    else
        plan->roots++;
    if (header.type == BH_ARRAY || header.type == BH_MAP)
        return enter(r, plan, header, at, levels, depth);
    return BH_OK;
}

static int survey(struct reader *r, struct plan *plan)
{
    struct level levels[BHI_DEPTH_MAX];
    unsigned depth = 0;

    while (r->at < r->size || depth > 0) {
        int rc = survey_value(r, plan, levels, &depth);
        if (rc != BH_OK)
            return rc;
        while (depth > 0 && levels[depth - 1].left == 0)
            depth--;
    }
    return BH_OK;
}

/* ---- the tables ---- */

/* A container that build() is filling. */
struct frame {
    const bh_value *container;
    bh_value *next;
    uint64_t left;
};

/* Where build() is. */
struct builder {
    struct reader *r;
    bh_value *free;                /* the first slot of the block that no table has yet */
    struct bhi_key_entry *scratch; /* for duplicate keys */
    unsigned depth;
    struct frame frames[BHI_DEPTH_MESSAGE];
};

static void set_payload(bh_value *value, const unsigned char *payload)
{
    struct bhi_wire_error error;
    uint64_t word;

    if (value->type == BH_BOOL) {
        memcpy(&word, payload, sizeof(word));
        value->as.boolean = word != 0;
    } else if (bhi_wire_is_scalar(value->type)) {
        memcpy(&value->as.uint64, payload, sizeof(uint64_t));
    } else if (value->type == BH_ERROR) {
        memcpy(&error, payload, sizeof(error));
        value->code = error.code;
        value->as.bytes = payload + sizeof(error);
    } else if (bhi_element_size(value->type) > 0) {
        value->as.bytes = payload; /* aligned for any element: see the buffer's alignment */
    }
}

/* Makes the value at the cursor, a container without its items, and steps over it. */
static void view_value(struct reader *r, bh_value *value)
{
    struct bhi_wire_header header;

    memcpy(&header, r->base + r->at, sizeof(header));
    *value = (bh_value){.type = (uint16_t)header.type}; /* without BHI_WIRE_ASIDE */
    if (header.type & BHI_WIRE_ASIDE) {
        value->length = header.length;
        value->as.bytes = (const uint8_t *)r->side->base + word_at(r, r->at + sizeof(header));
        r->at += sizeof(header) + sizeof(uint64_t);
        return;
    }
    if (!bhi_wire_is_scalar(header.type))
        value->length = header.length;
    set_payload(value, r->base + r->at + sizeof(header));
    r->at += sizeof(header) + (size_t)bhi_wire_padded(bhi_wire_payload(header.type, header.length));
}

/* Gives a container its table and goes on there. */
static void open_frame(struct builder *b, bh_value *container)
{
    uint64_t count = bhi_container_count(container);

    if (container->type == BH_MAP)
        container->as.members = (struct bh_member *)b->free;
    else
        container->as.items = b->free;
    b->frames[b->depth++] = (struct frame){container, b->free, count};
    b->free += count;
}

/* A container is complete. */
static int close_frame(struct builder *b)
{
    const bh_value *container = b->frames[--b->depth].container;

    if (container->type != BH_MAP)
        return BH_OK;
    const bh_value *key = bhi_keys_duplicate(container, b->scratch);
    if (!key)
        return BH_OK;
    size_t offset = (size_t)(key->as.bytes - b->r->base) - sizeof(struct bhi_wire_header);
    return fail(b->r, BH_E_DUPLICATE, offset, "the map has this key twice");
}

static int build(struct builder *b, bh_value *root)
{
    open_frame(b, root);
    while (b->depth > 0) {
        struct frame *frame = &b->frames[b->depth - 1];
        if (frame->left == 0) {
            int rc = close_frame(b);
            if (rc != BH_OK)
                return rc;
            continue;
        }
        bh_value *value = frame->next++;
        frame->left--;
        view_value(b->r, value);
        if (bhi_is_container(value) && value->length > 0)
            open_frame(b, value);
    }
    return BH_OK;
}

/* Makes the root's frozen table, which is all tables. */
static int build_table(struct reader *r, const struct plan *plan, struct bhi_key_entry *scratch,
                       bh_value *array)
{
    struct bhi_table *table = bhi_table_new(plan->count);

    if (!table)
        return fail(r, BH_E_MEMORY, 0, "out of memory");
    table->link.capacity = BHI_TABLE_FROZEN;
    bhi_container_adopt(array, table);
    array->length = plan->roots;
    struct builder b; /* not initialized as a whole: the frames are large */
    b.r = r;
    b.free = table->values;
    b.scratch = scratch;
    b.depth = 0;
    r->at = 0;
    return build(&b, array);
}

static int build_all(struct reader *r, const struct plan *plan, bh_value *array)
{
    struct bhi_key_entry *scratch;

    *array = bh_value_array();
    if (plan->count == 0)
        return BH_OK;
    int rc = bhi_keys_scratch(plan->largest, &scratch);
    if (rc != BH_OK)
        return fail(r, rc, 0, "out of memory");
    rc = build_table(r, plan, scratch, array);
    bhi_free(scratch);
    return rc;
}

int bh_wire_view(bh_value *array, const void *buffer, size_t size,
                 const struct bh_value_limits *limits, struct bh_problem *problem)
{
    return bhi_wire_aside_view(array, buffer, size, NULL, limits, problem);
}

int bhi_wire_aside_view(bh_value *array, const void *buffer, size_t size,
                        const struct bhi_wire_side *side, const struct bh_value_limits *limits,
                        struct bh_problem *problem)
{
    struct reader r = {.base = buffer,
                       .size = size,
                       .limits = bhi_limits(limits),
                       .problem = problem,
                       .side = side};
    struct plan plan = {0};

    *array = bh_value_null();
    if ((uintptr_t)buffer % BHI_WIRE_ALIGN != 0)
        return fail(&r, BH_E_INVALID, 0, "the buffer is not aligned to 8 bytes");
    if (size > r.limits.bytes)
        return fail(&r, BH_E_TOO_LARGE, 0, "the message is larger than allowed");
    int rc = survey(&r, &plan);
    if (rc == BH_OK)
        rc = build_all(&r, &plan, array);
    if (rc != BH_OK)
        bh_value_deinit(array);
    return rc;
}

int bh_wire_read(bh_value *array, const void *buffer, size_t size,
                 const struct bh_value_limits *limits, struct bh_problem *problem)
{
    bh_value view;
    int rc = bh_wire_view(&view, buffer, size, limits, problem);

    *array = bh_value_null();
    if (rc != BH_OK)
        return rc;
    rc = bh_value_copy(array, &view);
    bh_value_deinit(&view);
    if (rc != BH_OK)
        return bhi_problem_set(problem, rc, 0, "%s", bh_error_text(rc));
    return BH_OK;
}
