/* SPDX-License-Identifier: MIT */
/*
 * Whole values: freeing, copying, comparing.
 *
 * Model: nothing stops a caller from nesting containers without end, one push at a time. So freeing
 * takes no stack and no memory at all, however deep the tree: on the way down it keeps the way back
 * up in the tables that it is about to free. Copying and comparing recurse, and stop at
 * BHI_DEPTH_MESSAGE levels.
 *
 * Invariants: after deinit the value is null; a failed copy has freed what it had made; no function
 * here writes to what it copies from or compares.
 */
#include "alloc.h"
#include "value_internal.h"

#include <string.h>

/* A container that deinit stands in: the value, its length now counting the values left to free. */
static bh_value open_table(bh_value container, bh_value *up)
{
    struct bhi_table *table = bhi_container_table(&container);
    bool frozen = table->link.capacity == BHI_TABLE_FROZEN;

    container.length = frozen ? 0 : bhi_container_count(&container);
    table->link.up = up;
    return container;
}

/*
 * Frees a tree from the last value to the first. Stepping down into a child moves the child out of
 * its slot, and the slot, which is free now, keeps the parent: its table and how many values are
 * left. The child's table header leads back to that slot.
 */
static void free_tree(bh_value here)
{
    here = open_table(here, NULL);
    for (;;) {
        struct bhi_table *table = bhi_container_table(&here);
        if (here.length == 0) {
            bh_value *up = table->link.up;
            bhi_free(table);
            if (!up)
                return;
            here = *up;
            continue;
        }
        bh_value *slot = &table->values[--here.length];
        bh_value child = *slot;
        if (bhi_is_container(&child) && bhi_container_table(&child)) {
            *slot = here;
            here = open_table(child, slot);
        } else {
            bh_value_deinit(&child);
        }
    }
}

void bh_value_deinit(bh_value *value)
{
    if (!value)
        return;
    if (bhi_is_container(value)) {
        if (bhi_container_table(value))
            free_tree(*value);
    } else if (value->flags & BH_VALUE_OWNS) {
        bhi_free((void *)value->as.bytes);
    }
    *value = bh_value_null();
}

static int copy_at(bh_value *out, const bh_value *value, unsigned depth);

/* Copies what is in a container into *out, an empty one. `out` stays fit for deinit throughout. */
static int copy_values(bh_value *out, const bh_value *container, unsigned depth)
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
        int rc = copy_at(&table->values[i], &from[i], depth);
        if (rc != BH_OK)
            return rc;
    }
    return BH_OK;
}

static int copy_at(bh_value *out, const bh_value *value, unsigned depth)
{
    *out = bh_value_null();
    if (bhi_is_container(value)) {
        if (depth == 0)
            return BH_E_DEPTH;
        *out = value->type == BH_MAP ? bh_value_map() : bh_value_array();
        return copy_values(out, value, depth - 1);
    }
    if (bhi_element_size(value->type) == 0) {
        *out = *value;
        return BH_OK;
    }
    int rc = bhi_value_new(out, value->type, value->as.bytes, value->length);
    if (rc == BH_OK)
        out->code = value->code;
    return rc;
}

int bh_value_copy(bh_value *out, const bh_value *value)
{
    int rc = copy_at(out, value, BHI_DEPTH_MESSAGE);

    if (rc != BH_OK)
        bh_value_deinit(out);
    return rc;
}

static bool equal_at(const bh_value *a, const bh_value *b, unsigned depth)
{
    size_t size = bhi_element_size(a->type);

    if (a->type != b->type || a->length != b->length || a->code != b->code)
        return false;
    if (size > 0) {
        size *= (size_t)a->length;
        return size == 0 || memcmp(a->as.bytes, b->as.bytes, size) == 0;
    }
    if (a->type == BH_NULL)
        return true;
    if (a->type == BH_BOOL)
        return a->as.boolean == b->as.boolean;
    if (!bhi_is_container(a))
        return a->as.uint64 == b->as.uint64; /* doubles by their bits */
    for (uint64_t i = 0; i < bhi_container_count(a); i++) {
        if (depth == 0 ||
            !equal_at(bhi_container_values(a) + i, bhi_container_values(b) + i, depth - 1))
            return false;
    }
    return true;
}

bool bh_value_equal(const bh_value *a, const bh_value *b)
{
    return equal_at(a, b, BHI_DEPTH_MESSAGE);
}
