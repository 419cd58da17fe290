/* SPDX-License-Identifier: MIT */
/*
 * Partial replies: two places, written alternately.
 *
 * Model: partial_words.h. The reader copies the last complete one and then looks whether the writer
 * has come round to its place meanwhile; if so, there is a newer one. A writer that has ended does
 * not; one that lives, and outruns the reader again and again, has published nothing.
 *
 * Invariants: a serial, a length, a byte that the worker wrote is loaded once and checked before it
 * is used. What is malformed is no partial reply, and nothing else follows from it: the request has
 * ended without.
 */
#include "partial.h"

#include "alloc.h"

#include <string.h>

#define TRIES 8

/* One load of a plain word that another process may write at this moment. */
#define ONCE(word) (*(const volatile uint64_t *)&(word))

int bhi_partial_put(struct bhi_partial_words *words, void *data, size_t room, size_t most,
                    uint64_t serial, const bh_value *value)
{
    /* Sequentially consistent, like the store below: what is written after this load is not seen
     * before the number that it loads, which says that this place may change. */
    uint64_t count = atomic_load(&words->count) + 1;
    struct bhi_partial_place *place = &words->place[count % 2];
    const struct bh_value_limits limits = {.bytes = UINT64_MAX};
    size_t size;
    int error = bh_wire_size(value, 1, &limits, &size);

    if (error == BH_OK && size > most)
        error = BH_E_TOO_LARGE;
    if (error == BH_OK)
        error = bh_wire_write((unsigned char *)data + count % 2 * room, size, value, 1);
    if (error != BH_OK)
        return error;
    place->serial = serial;
    place->length = size;
    /* Pairs with the load in look(): whoever sees the number sees the whole of it. */
    atomic_store(&words->count, count);
    return BH_OK;
}

/* The last complete one's number and length. @return false: there is none for this serial */
static bool look(const struct bhi_partial_words *words, uint64_t serial, uint64_t *count,
                 uint64_t *length)
{
    /* Pairs with the worker's release store. */
    *count = atomic_load_explicit(&words->count, memory_order_acquire);
    *length = ONCE(words->place[*count % 2].length);
    return *count != 0 && ONCE(words->place[*count % 2].serial) == serial;
}

bool bhi_partial_has(const struct bhi_partial_words *words, uint64_t serial)
{
    uint64_t count, length;

    return look(words, serial, &count, &length);
}

/* Decodes private bytes into the one value they must be. */
static bool decode(const void *bytes, size_t length, bh_value *value)
{
    struct bh_value_limits limits = {.bytes = length};
    bh_value all;

    if (bh_wire_read(&all, bytes, length, &limits, NULL) != BH_OK)
        return false;
    bool one = all.length == 1;
    if (one) {
        *value = all.as.items[0];
        all.as.items[0] = bh_value_null();
    }
    bh_value_deinit(&all);
    return one;
}

/* Copies whole words, none of which is loaded after what is loaded next. */
static void copy_words(unsigned char *to, const unsigned char *from, uint64_t size)
{
    const _Atomic uint64_t *words = (const _Atomic uint64_t *)(const void *)from;

    for (uint64_t i = 0; i < size / 8; i++) {
        uint64_t word = atomic_load_explicit(&words[i], memory_order_acquire);
        memcpy(to + 8 * i, &word, 8);
    }
}

/* Copies a place that nobody writes to, as far as can be told. */
static bool copy_stable(const struct bhi_partial_words *words, const unsigned char *data,
                        size_t room, uint64_t serial, unsigned char *bytes, size_t *length)
{
    for (int i = 0; i < TRIES; i++) {
        uint64_t count, size;
        if (!look(words, serial, &count, &size) || size > room || size % 8 != 0)
            return false;
        copy_words(bytes, data + count % 2 * room, size);
        if (atomic_load_explicit(&words->count, memory_order_relaxed) == count) {
            *length = (size_t)size;
            return true;
        }
    }
    return false;
}

bool bhi_partial_take(const struct bhi_partial_words *words, const void *data, size_t room,
                      uint64_t serial, bh_value *value)
{
    bool taken = false;
    size_t length = 0;

    if (room == 0 || !bhi_partial_has(words, serial))
        return false;
    unsigned char *bytes = bhi_alloc(room);
    if (bytes && copy_stable(words, data, room, serial, bytes, &length))
        taken = decode(bytes, length, value);
    bhi_free(bytes);
    return taken;
}
