/* SPDX-License-Identifier: MIT */
/*
 * The table of methods that a worker announces: checked once, then looked up by name.
 *
 * Invariant: in an indexed table every entry has a name, a non-empty string without NUL, and no
 * name stands twice. What a worker announces is hostile input.
 */
#include "methods.h"

#include "alloc.h"
#include "problem.h"

#include <inttypes.h>
#include <string.h>

/* Names that a worker has chosen to collide cost the square of their number. */
#define METHODS_MOST 4096

static uint32_t hash(const char *name, size_t length)
{
    uint32_t h = 2166136261u; /* FNV-1a: names are short, and a worker only harms itself */

    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)name[i]) * 16777619u;
    return h;
}

static const bh_value *name_of(const struct bhi_methods *methods, uint32_t position)
{
    return bh_map_get(&methods->list.as.items[position], "name");
}

/* The slot that holds the name, or the empty one where it belongs. */
static uint32_t *slot_of(const struct bhi_methods *methods, const char *name, size_t length)
{
    for (uint32_t at = hash(name, length);; at++) {
        uint32_t *slot = &methods->slots[at & methods->mask];
        if (*slot == 0)
            return slot;
        const bh_value *known = name_of(methods, *slot - 1);
        if (known->length == length && memcmp(known->as.string, name, length) == 0)
            return slot;
    }
}

int64_t bhi_methods_find(const struct bhi_methods *methods, const char *name)
{
    return methods->slots != NULL ? (int64_t)*slot_of(methods, name, strlen(name)) - 1 : -1;
}

void bhi_methods_deinit(struct bhi_methods *methods)
{
    bh_value_deinit(&methods->list);
    bhi_free(methods->slots);
    methods->slots = NULL;
}

/* What is wrong with one entry, or NULL. */
static const char *entry_flaw(const bh_value *entry)
{
    const bh_value *name = bh_map_get(entry, "name");
    const bh_value *help = bh_map_get(entry, "help");

    if (name == NULL || name->type != BH_STRING || name->length == 0)
        return "has no name";
    if (memchr(name->as.string, '\0', name->length) != NULL)
        return "has a NUL in its name";
    if (help != NULL && help->type != BH_STRING)
        return "has a help text that is no string";
    return NULL;
}

static bool make_slots(struct bhi_methods *methods)
{
    size_t size = 2;

    while (size < methods->list.length * 2)
        size *= 2;
    methods->slots = bhi_alloc(size * sizeof(methods->slots[0]));
    if (methods->slots == NULL)
        return false;
    memset(methods->slots, 0, size * sizeof(methods->slots[0]));
    methods->mask = (uint32_t)size - 1;
    return true;
}

int bhi_methods_index(struct bhi_methods *methods, struct bh_problem *problem)
{
    if (methods->list.type != BH_ARRAY)
        return bhi_problem_set(problem, BH_E_TYPE, 0, "is a %s", bh_type_name(methods->list.type));
    if (methods->list.length > METHODS_MOST)
        return bhi_problem_set(problem, BH_E_TOO_LARGE, 0, "names more than %d methods",
                               METHODS_MOST);
    if (!make_slots(methods))
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "needs more memory than there is");
    for (uint32_t i = 0; i < methods->list.length; i++) {
        const char *flaw = entry_flaw(&methods->list.as.items[i]);
        if (flaw != NULL)
            return bhi_problem_set(problem, BH_E_TYPE, 0, "entry %" PRIu32 " %s", i, flaw);
        const bh_value *name = name_of(methods, i);
        uint32_t *slot = slot_of(methods, name->as.string, name->length);
        if (*slot != 0)
            return bhi_problem_set(problem, BH_E_DUPLICATE, 0, "names %.*s twice",
                                   (int)(name->length < 64 ? name->length : 64), name->as.string);
        *slot = i + 1;
    }
    return BH_OK;
}
