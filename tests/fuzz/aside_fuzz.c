/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a wire message with memory beside it: 2 bytes say how much memory, 6 nothing; then
 * the memory, padded to 8 bytes, and the message.
 *
 * Invariants that hold for everything that is accepted: copied, borrowed and viewed values are
 * equal; only bytes and typed arrays are borrowed; a copy can be written with its payloads beside
 * it and reads back as an equal value. What is trusted is accepted exactly when its copy is.
 */
#include "core/wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static const struct bh_value_limits limits = {.depth = 256, .count = 1 << 20, .bytes = 1 << 22};

struct message {
    void *bytes; /* aligned, and exact */
    size_t size;
    struct bhi_wire_side side;
};

/* Writes a value with its payloads beside it, and reads it again. */
static void write_again(const bh_value *value)
{
    struct bhi_wire_aside aside = {NULL, 0, (unsigned char *)&aside};
    const struct bh_value_limits none = {.depth = 256, .bytes = UINT64_MAX};
    uint64_t behind;
    bh_value view, copy;
    size_t whole;

    require(bh_wire_size(value, 1, &none, &whole) == BH_OK);
    size_t size = bhi_wire_aside_size(&aside, value, 1, whole, &behind);
    unsigned char *room = malloc((size_t)behind + 1);
    void *bytes = malloc(size + 1);
    aside.memory = aside.room = room;
    require(size + behind + 8 * BHI_WIRE_ASIDE_ALIGN >= size);
    require(bhi_wire_aside_write(&aside, bytes, size, value, 1) == BH_OK);
    const struct bhi_wire_side side = {room, behind, false};
    require(bhi_wire_aside_view(&view, bytes, size, &side, &none, NULL) == BH_OK);
    require(bhi_wire_own(&copy, &view.as.items[0], &side, NULL) == BH_OK);
    require(bh_value_equal(value, &copy));
    bh_value_deinit(&copy);
    bh_value_deinit(&view);
    free(bytes);
    free(room);
}

static void use(const struct message *m, const bh_value *view)
{
    bh_value copy, loan;
    bool borrowed;

    int rc = bhi_wire_own(&copy, view, &m->side, NULL);
    require(rc == BH_OK || (rc == BH_E_UTF8 && copy.type == BH_NULL));
    require(bhi_wire_own(&loan, view, &m->side, &borrowed) == rc);
    if (rc == BH_OK) {
        require(bh_value_equal(&copy, view) && bh_value_equal(&loan, view));
        write_again(&copy);
    }
    bh_value_deinit(&copy);
    bh_value_deinit(&loan);
}

static void read_message(struct message *m)
{
    struct bh_problem problem = {0};
    bh_value view, trusted;
    bool good = true;

    int rc = bhi_wire_aside_view(&view, m->bytes, m->size, &m->side, &limits, &problem);
    require(problem.code == rc);
    m->side.trusted = true;
    int again = bhi_wire_aside_view(&trusted, m->bytes, m->size, &m->side, &limits, NULL);
    m->side.trusted = false;
    require(again == rc || again == BH_E_UTF8);
    if (rc == BH_OK) {
        for (uint64_t i = 0; i < view.length; i++) {
            bh_value copy;
            good &= bhi_wire_own(&copy, &view.as.items[i], &m->side, NULL) == BH_OK;
            bh_value_deinit(&copy);
            use(m, &view.as.items[i]);
        }
        require(good == (again == BH_OK));
    }
    bh_value_deinit(&view);
    bh_value_deinit(&trusted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message m = {0};
    uint16_t side = 0;

    if (size < 8)
        return 0;
    memcpy(&side, data, sizeof(side));
    size_t room = ((size_t)side + 7) / 8 * 8;
    if (room > size - 8)
        return 0;
    m.size = size - 8 - room;
    m.bytes = malloc(m.size ? m.size : 1);
    void *memory = malloc(side ? side : 1u);
    if (m.size > 0)
        memcpy(m.bytes, data + 8 + room, m.size);
    memcpy(memory, data + 8, side);
    m.side = (struct bhi_wire_side){memory, side, false};
    read_message(&m);
    free(memory);
    free(m.bytes);
    return 0;
}
