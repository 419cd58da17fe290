/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as JSON text: refused at a place within the text, or read.
 *
 * Invariants that hold for everything that is accepted: written in either style, it reads back as
 * an equal value; it has a wire form, which reads back as an equal value too.
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

static void through_text(const bh_value *value, enum bh_json_style style)
{
    bh_value again;
    char *text;
    size_t length;

    require(bh_json_write(value, style, &text, &length) == BH_OK);
    require(strlen(text) == length); /* NULs are escaped */
    require(bh_json_read(&again, text, length, &limits, NULL) == BH_OK);
    require(bh_value_equal(value, &again));
    bh_value_deinit(&again);
    bh_free(text);
}

static void through_wire(const bh_value *value)
{
    bh_value array;
    size_t size;

    require(bh_wire_size(value, 1, &limits, &size) == BH_OK);
    void *message = malloc(size);
    require(bh_wire_write(message, size, value, 1) == BH_OK);
    require(bh_wire_view(&array, message, size, &limits, NULL) == BH_OK);
    require(array.length == 1 && bh_value_equal(value, &array.as.items[0]));
    bh_value_deinit(&array);
    free(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bh_problem problem = {0};
    bh_value value;

    char *text = malloc(size ? size : 1); /* exact, no NUL */
    if (size > 0)
        memcpy(text, data, size);
    int rc = bh_json_read(&value, text, size, &limits, &problem);
    require(problem.code == rc);
    if (rc == BH_OK) {
        through_text(&value, BH_JSON_COMPACT);
        through_text(&value, BH_JSON_PRETTY);
        through_wire(&value);
    } else {
        require(problem.line > 0 && problem.line <= size + 1);
        require(problem.column > 0 && problem.column <= size + 1);
    }
    bh_value_deinit(&value);
    free(text);
    return 0;
}
