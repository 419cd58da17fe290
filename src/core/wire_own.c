/* SPDX-License-Identifier: MIT */
/*
 * Taking over what a reader viewed: the message lies in private memory that is about to go, its
 * large payloads beside it in memory that a hostile process may be changing.
 *
 * Model: the same walk as bh_value_copy(). A payload that lies beside the message is copied once,
 * straight to where it stays, or left there for who asked to borrow.
 *
 * Invariants: a byte beside the message is read at most once. So a string's UTF-8 is checked in the
 * copy, and a string is never borrowed. After a failure *out is null and nothing is owned.
 */
#include "alloc.h"
#include "utf8.h"
#include "value_internal.h"
#include "wire.h"

struct taker {
    const struct bhi_wire_side *side;
    bool *borrowed;
};

static bool lies_aside(const struct taker *t, const bh_value *value)
{
    uintptr_t base = (uintptr_t)t->side->base;
    uintptr_t at = (uintptr_t)value->as.bytes;

    return at >= base && at - base < t->side->bytes && value->length > 0;
}

static int take_block(const struct taker *t, bh_value *out, const bh_value *value)
{
    bool aside = lies_aside(t, value);

    if (aside && t->borrowed != NULL && value->type != BH_STRING) {
        *out = *value;
        *t->borrowed = true;
        return BH_OK;
    }
    int rc = bhi_value_new(out, value->type, value->as.bytes, value->length);
    if (rc != BH_OK)
        return rc;
    out->code = value->code;
    if (aside && value->type == BH_STRING && !bhi_utf8_valid(out->as.string, (size_t)out->length)) {
        bh_value_deinit(out);
        return BH_E_UTF8;
    }
    return BH_OK;
}

static int take(const struct taker *t, bh_value *out, const bh_value *value, unsigned depth);

/* `out` stays fit for deinit throughout. */
static int take_values(const struct taker *t, bh_value *out, const bh_value *container,
                       unsigned depth)
{
    const bh_value *from = bhi_container_values(container);
    uint64_t count = bhi_container_count(container);

    if (count == 0)
        return BH_OK;
    struct bhi_table *table = bhi_table_new(count);
    if (!table)
        return BH_E_MEMORY;
    bhi_container_adopt(out, table);
    for (uint64_t i = 0; i < count; i++)
        table->values[i] = bh_value_null();
    out->length = container->length;
    for (uint64_t i = 0; i < count; i++) {
        int rc = take(t, &table->values[i], &from[i], depth);
        if (rc != BH_OK)
            return rc;
    }
    return BH_OK;
}

static int take(const struct taker *t, bh_value *out, const bh_value *value, unsigned depth)
{
    *out = bh_value_null();
    if (bhi_is_container(value)) {
        if (depth == 0)
            return BH_E_DEPTH;
        *out = value->type == BH_MAP ? bh_value_map() : bh_value_array();
        return take_values(t, out, value, depth - 1);
    }
    if (bhi_element_size(value->type) > 0)
        return take_block(t, out, value);
    *out = *value;
    return BH_OK;
}

/** See wire.h. */
int bhi_wire_own(bh_value *out, const bh_value *view, const struct bhi_wire_side *side,
                 bool *borrowed)
{
    const struct taker t = {side, borrowed};

    if (borrowed != NULL)
        *borrowed = false;
    int rc = take(&t, out, view, BHI_DEPTH_MESSAGE);
    if (rc != BH_OK)
        bh_value_deinit(out);
    return rc;
}
