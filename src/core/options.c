/* SPDX-License-Identifier: MIT */
/*
 * Pool options: defaults, setting by name, checking, and the pool's own copy.
 *
 * Model: the numeric options are one list (BH_POOL_OPTION_LIST); everything here walks the table
 * made from it. A caller may be older than the library and know a smaller struct: `size` says how
 * much of it counts, the rest keeps the defaults.
 */
#include "options.h"

#include "alloc.h"
#include "platform.h"
#include "problem.h"

#include <string.h>

enum width { WIDTH_u32 = 4, WIDTH_u64 = 8 };

struct entry {
    struct bh_option_info info;
    size_t offset;
    enum width width;
    uint64_t scale;
    uint64_t minimum; /* in the field's unit */
    uint64_t maximum;
};

static const struct entry entries[] = {
#define ENTRY(field, type, initial, least, most, name, factor, text)                               \
    {{name, (uint64_t)(initial) / (factor), ((uint64_t)(least) + (factor)-1) / (factor),           \
      (uint64_t)(most) / (factor), text},                                                          \
     offsetof(struct bh_pool_options, field),                                                      \
     WIDTH_##type,                                                                                 \
     factor,                                                                                       \
     least,                                                                                        \
     most},
    BH_POOL_OPTION_LIST(ENTRY)
#undef ENTRY
};
#define ENTRIES (sizeof(entries) / sizeof(entries[0]))

static uint64_t load(const struct bh_pool_options *options, const struct entry *entry)
{
    const char *field = (const char *)options + entry->offset;
    uint32_t narrow;
    uint64_t wide;

    if (entry->width == WIDTH_u32) {
        memcpy(&narrow, field, sizeof(narrow));
        return narrow;
    }
    memcpy(&wide, field, sizeof(wide));
    return wide;
}

static void store(struct bh_pool_options *options, const struct entry *entry, uint64_t number)
{
    char *field = (char *)options + entry->offset;
    uint32_t narrow = (uint32_t)number;

    if (entry->width == WIDTH_u32)
        memcpy(field, &narrow, sizeof(narrow));
    else
        memcpy(field, &number, sizeof(number));
}

static const struct entry *find(const char *name)
{
    for (size_t i = 0; i < ENTRIES; i++)
        if (strcmp(entries[i].info.name, name) == 0)
            return &entries[i];
    return NULL;
}

void bh_pool_options_init(struct bh_pool_options *options)
{
    memset(options, 0, sizeof(*options));
    options->size = sizeof(*options);
#define INITIAL(field, type, initial, ...) options->field = initial;
    BH_POOL_OPTION_LIST(INITIAL)
#undef INITIAL
    options->max_workers = bhp_processors();
    if (options->max_workers > find("max-workers")->maximum)
        options->max_workers = (uint32_t)find("max-workers")->maximum;
}

const struct bh_option_info *bh_pool_option_info(size_t i)
{
    return i < ENTRIES ? &entries[i].info : NULL;
}

/* Digits only, no sign, no blank; false beyond 64 bits. */
static bool parse(const char *text, uint64_t *number)
{
    uint64_t result = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        unsigned digit = (unsigned)(*text - '0');
        if (result > (UINT64_MAX - digit) / 10)
            return false;
        result = result * 10 + digit;
    }
    *number = result;
    return true;
}

static int out_of_range(const struct entry *entry, const char *got, struct bh_problem *problem)
{
    return bhi_problem_set(problem, BH_E_RANGE, 0, "%s is %s; allowed are %llu to %llu",
                           entry->info.name, got, (unsigned long long)entry->info.minimum,
                           (unsigned long long)entry->info.maximum);
}

int bh_pool_options_set(struct bh_pool_options *options, const char *name, const char *text,
                        struct bh_problem *problem)
{
    const struct entry *entry = find(name);
    uint64_t number;

    if (!entry)
        return bhi_problem_set(problem, BH_E_NOT_FOUND, 0, "no such option: %s", name);
    if (!parse(text, &number))
        return bhi_problem_set(problem, BH_E_SYNTAX, 0,
                               "%s is \"%s\"; it must be a whole number from %llu to %llu", name,
                               text, (unsigned long long)entry->info.minimum,
                               (unsigned long long)entry->info.maximum);
    if (number < entry->info.minimum || number > entry->info.maximum)
        return out_of_range(entry, text, problem);
    store(options, entry, number * entry->scale);
    return BH_OK;
}

/* Decimal text of a number, without the C library's locale or its buffer. */
static char *decimal(uint64_t number, char text[24])
{
    char *at = text + 23;

    *at = '\0';
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    return at;
}

static int check(const struct bh_pool_options *options, struct bh_problem *problem)
{
    char text[24];

    for (size_t i = 0; i < ENTRIES; i++) {
        uint64_t number = load(options, &entries[i]);
        if (number < entries[i].minimum || number > entries[i].maximum)
            return out_of_range(&entries[i], decimal(number / entries[i].scale, text), problem);
    }
    if (!options->worker || !*options->worker)
        return bhi_problem_set(problem, BH_E_INVALID, 0, "no worker program is named");
    if (options->min_workers > options->max_workers)
        return bhi_problem_set(problem, BH_E_INVALID, 0,
                               "min-workers is %u, more than max-workers, which is %u",
                               options->min_workers, options->max_workers);
    if (options->queue_length == 0 && options->min_workers == 0 && options->standby_workers == 0)
        return bhi_problem_set(problem, BH_E_INVALID, 0,
                               "queue-length is 0, so that a request needs a worker that waits for "
                               "it: min-workers or standby-workers must be at least 1");
    if (options->backoff_initial_ms > options->backoff_max_ms)
        return bhi_problem_set(problem, BH_E_INVALID, 0,
                               "backoff-initial-ms is %u, more than backoff-max-ms, which is %u",
                               options->backoff_initial_ms, options->backoff_max_ms);
    if (options->nice < -20 || options->nice > 19)
        return bhi_problem_set(problem, BH_E_RANGE, 0, "nice is %d; allowed are -20 to 19",
                               options->nice);
    return BH_OK;
}

int bhi_options_take(struct bh_pool_options *out, const struct bh_pool_options *given,
                     struct bh_problem *problem)
{
    size_t known = sizeof(*out);

    bh_pool_options_init(out);
    if (!given || given->size < offsetof(struct bh_pool_options, min_workers))
        return bhi_problem_set(problem, BH_E_INVALID, 0,
                               "the options were not made by bh_pool_options_init()");
    if (given->size < known)
        known = given->size;
    memcpy(out, given, known);
    out->size = sizeof(*out);
    return check(out, problem);
}
