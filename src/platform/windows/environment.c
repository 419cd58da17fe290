/* SPDX-License-Identifier: MIT */
/*
 * The environment of the workers.
 *
 * Model: the dispatcher's variables and the changes are gathered in one array, each marked with its
 * place in the order of precedence, then sorted by name. Of equal names the last one counts, and
 * one without a value removes. Windows wants the block sorted, and names differ by more than case.
 *
 * Invariants: the one variable by which workers find their dispatcher is never inherited: a
 * dispatcher may be a worker itself. A cleared environment keeps SystemRoot, without which the
 * system's own libraries fail to load theirs.
 */
#include "environment.h"

#include "core/alloc.h"
#include "core/problem.h"
#include "core/utf8.h"
#include "text16.h"

#include <stdlib.h>
#include <string.h>

#define OUR_VARIABLE L"BULKHEAD_CHANNEL"
#define KEPT_VARIABLE L"SystemRoot"

_Static_assert(sizeof(BHW_ENVIRONMENT) == sizeof(OUR_VARIABLE) / sizeof(WCHAR), "one name");

/* ---- texts that grow ---- */

/** See environment.h. */
void bhw_text_add(struct bhw_text *text, const WCHAR *units, size_t count)
{
    if (text->failed || count == 0)
        return;
    if (count > text->room - text->length) {
        size_t room = (text->length + count) * 2;
        WCHAR *larger = bhi_realloc(text->units, room * sizeof(WCHAR));
        text->failed = larger == NULL;
        if (text->failed)
            return;
        text->units = larger;
        text->room = room;
    }
    memcpy(text->units + text->length, units, count * sizeof(WCHAR));
    text->length += count;
}

/** See environment.h. */
WCHAR *bhw_text_take(struct bhw_text *text)
{
    if (text->failed) {
        bhi_free(text->units);
        text->units = NULL;
    }
    return text->units;
}

/* ---- variables ---- */

struct variable {
    const WCHAR *text; /* "NAME=value" or "NAME" */
    size_t name;       /* units of the name */
    size_t order;
};

struct variables {
    struct variable *at; /* owned */
    size_t count;
    WCHAR **changes; /* owned, each of them too */
    size_t change_count;
};

/* Windows keeps the directory of each drive in variables whose names begin with '='. */
static size_t name_length(const WCHAR *text)
{
    return *text == L'\0' ? 0 : 1 + wcscspn(text + 1, L"=");
}

static int compare_names(const WCHAR *a, size_t a_length, const WCHAR *b, size_t b_length)
{
    return CompareStringOrdinal(a, (int)a_length, b, (int)b_length, TRUE) - CSTR_EQUAL;
}

static bool is_named(const struct variable *variable, const WCHAR *name)
{
    return compare_names(variable->text, variable->name, name, wcslen(name)) == 0;
}

static int compare(const void *a, const void *b)
{
    const struct variable *x = a;
    const struct variable *y = b;
    int names = compare_names(x->text, x->name, y->text, y->name);

    return names != 0 ? names : x->order < y->order ? -1 : 1;
}

static void add(struct variables *all, const WCHAR *text)
{
    all->at[all->count] =
        (struct variable){.text = text, .name = name_length(text), .order = all->count};
    all->count++;
}

/* ---- gathering ---- */

static size_t count_block(const WCHAR *block)
{
    size_t count = 0;

    for (; *block != L'\0'; block += wcslen(block) + 1)
        count++;
    return count;
}

static size_t count_changes(const char *const *changes)
{
    size_t count = 0;

    while (changes != NULL && changes[count] != NULL)
        count++;
    return count;
}

static void add_block(struct variables *all, const WCHAR *block, bool clear)
{
    for (; *block != L'\0'; block += wcslen(block) + 1) {
        struct variable variable = {.text = block, .name = name_length(block)};
        if (!clear || is_named(&variable, KEPT_VARIABLE))
            add(all, block);
    }
}

static int add_changes(struct variables *all, const char *const *changes,
                       struct bh_problem *problem)
{
    for (; changes != NULL && *changes != NULL; changes++) {
        if (!bhi_utf8_valid(*changes, strlen(*changes)))
            return bhi_problem_set(problem, BH_E_UTF8, 0, "an environment variable is not UTF-8");
        WCHAR *text = (WCHAR *)bhw_text16_new(*changes);
        if (text == NULL)
            return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for the environment");
        all->changes[all->change_count++] = text;
        if (*text != L'\0')
            add(all, text);
    }
    return BH_OK;
}

static int gather(struct variables *all, const WCHAR *block, const struct bh_pool_options *options,
                  struct bh_problem *problem)
{
    size_t changes = count_changes(options->environment);

    all->at = bhi_alloc((count_block(block) + changes + 1) * sizeof(*all->at));
    all->changes = bhi_alloc((changes + 1) * sizeof(*all->changes));
    if (all->at == NULL || all->changes == NULL)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for the environment");
    add_block(all, block, options->clear_environment);
    int rc = add_changes(all, options->environment, problem);
    qsort(all->at, all->count, sizeof(*all->at), compare);
    return rc;
}

/* ---- the block ---- */

/* The last of equal names counts, if it has a value. */
static bool is_kept(const struct variables *all, size_t i)
{
    const struct variable *this = &all->at[i];
    const struct variable *next = &all->at[i + 1];

    if (i + 1 < all->count && compare_names(this->text, this->name, next->text, next->name) == 0)
        return false;
    return this->text[this->name] == L'=' && !is_named(this, OUR_VARIABLE);
}

static int write_block(const struct variables *all, struct bhw_spec *spec,
                       struct bh_problem *problem)
{
    struct bhw_text block = {0};
    const size_t ours = wcslen(OUR_VARIABLE);

    for (size_t i = 0; i < all->count; i++) {
        const struct variable *variable = &all->at[i];
        if (!is_kept(all, i))
            continue;
        bhw_text_add(&block, variable->text, wcslen(variable->text) + 1);
        if (compare_names(variable->text, variable->name, OUR_VARIABLE, ours) < 0)
            spec->environment_split = block.length;
    }
    spec->environment = block.units;
    spec->environment_units = block.length;
    return block.failed ? bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for the environment")
                        : BH_OK;
}

/** See environment.h. */
int bhw_environment_make(const struct bh_pool_options *options, struct bhw_spec *spec,
                         struct bh_problem *problem)
{
    struct variables all = {0};
    WCHAR *block = GetEnvironmentStringsW();

    if (block == NULL)
        return bhw_problem_last(problem, "the environment");
    int rc = gather(&all, block, options, problem);
    if (rc == BH_OK)
        rc = write_block(&all, spec, problem);
    for (size_t i = 0; i < all.change_count; i++)
        bhi_free(all.changes[i]);
    bhi_free(all.changes);
    bhi_free(all.at);
    FreeEnvironmentStringsW(block);
    return rc;
}
