/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a wire message: refused, or read, and then written again as the same bytes.
 *
 * Invariants that hold for everything that is accepted: the form is canonical; a view and a copy
 * are equal; JSON text of it reads back as an equal value.
 */
#include <bulkhead/json.h>
#include <bulkhead/value.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static const struct bh_value_limits limits = {.depth = 256, .count = 1 << 20};

static void write_again(const bh_value *array, const void *message, size_t size)
{
    size_t length;

    require(bh_wire_size(array->as.items, (size_t)array->length, &limits, &length) == BH_OK);
    require(length == size);
    void *again = malloc(size + 8);
    require(bh_wire_write(again, size, array->as.items, (size_t)array->length) == BH_OK);
    require(memcmp(again, message, size) == 0);
    free(again);
}

static void through_json(const bh_value *value)
{
    bh_value again;
    char *text;
    size_t length;

    require(bh_json_write(value, BH_JSON_COMPACT, &text, &length) == BH_OK);
    require(bh_json_read(&again, text, length, &limits, NULL) == BH_OK);
    require(bh_value_equal(value, &again));
    bh_value_deinit(&again);
    bh_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bh_problem problem = {0};
    bh_value view, copy;

    void *message = malloc(size ? size : 1); /* aligned, and exact */
    if (size > 0)
        memcpy(message, data, size);
    int rc = bh_wire_view(&view, message, size, &limits, &problem);
    require(problem.code == rc);
    if (rc == BH_OK) {
        write_again(&view, message, size);
        require(bh_wire_read(&copy, message, size, &limits, NULL) == BH_OK);
        require(bh_value_equal(&view, &copy));
        for (uint64_t i = 0; i < copy.length; i++)
            through_json(&copy.as.items[i]);
        bh_value_deinit(&copy);
    }
    bh_value_deinit(&view);
    free(message);
    return 0;
}
