/* SPDX-License-Identifier: MIT */
/*
 * A worker with a large dictionary, which it makes in init(): that takes a while and a lot of
 * memory. It says that it is fork-safe, so that on Linux this is done once, in a template, and all
 * workers share the pages.
 *
 * Model: a hash table with open addressing over words that are made up from their number. The
 * table is one mapping of large pages, where the system has them: with small ones, a fork would
 * copy hundreds of times as many entries of page tables.
 *
 * Why it may say fork_safe: init() starts no thread, opens nothing and remembers nothing about its
 * process, and nothing is written into the table afterwards (a page that is written to is copied).
 *
 *   dictionary-worker [MIB]        entries() -> number
 *   lookup(word) -> its number, or null
 *   memory() -> [resident, shared out fairly, its own] in KiB
 */
#include <bulkhead/worker.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define WORD_MAX 28

struct entry {
    char word[WORD_MAX]; /* "": the place is free */
    uint32_t number;
};

static struct entry *table;
static size_t places, entries; /* places is a power of two */

static size_t hash(const char *word, size_t length)
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)word[i]) * UINT64_C(1099511628211);
    return (size_t)(h ^ h >> 29);
}

/* The place of a word, or the free one where it belongs. */
static struct entry *find(const char *word, size_t length)
{
    size_t at = hash(word, length) & (places - 1);

    while (table[at].word[0] != '\0' &&
           (strncmp(table[at].word, word, length) != 0 || table[at].word[length] != '\0'))
        at = (at + 1) & (places - 1);
    return &table[at];
}

/* The nth word: a syllable for each digit of a number that is the nth's alone. */
static size_t make_word(uint32_t number, char word[WORD_MAX])
{
    static const char consonants[] = "bdfghklmnprstvwz", vowels[] = "aeio";
    uint32_t mixed = number * UINT32_C(2654435761); /* odd: no two are the same */
    size_t length = 0;

    do {
        word[length++] = consonants[mixed & 15];
        word[length++] = vowels[mixed >> 4 & 3];
    } while ((mixed >>= 6) != 0);
    word[length++] = 'n';
    word[length] = '\0';
    return length;
}

static int init(int argc, char **argv, void **context)
{
    size_t bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 64) << 20;

    (void)context;
    for (places = 1; places * 2 * sizeof(*table) <= bytes; places *= 2)
        continue;
    bytes = places * sizeof(*table);
    table = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED) {
        fprintf(stderr, "no memory for a dictionary of %zu MiB\n", bytes >> 20);
        return 1;
    }
    madvise(table, bytes, MADV_HUGEPAGE); /* as good as it gets without */
    for (entries = 0; entries < places / 2; entries++) {
        char word[WORD_MAX];
        size_t length = make_word((uint32_t)entries, word);
        struct entry *entry = find(word, length);
        memcpy(entry->word, word, length + 1);
        entry->number = (uint32_t)entries;
    }
    return 0;
}

static void lookup(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    const char *word;
    size_t length;

    (void)context;
    if (count != 1 || bh_value_get_string(&arguments[0], &word, &length) != BH_OK) {
        bh_call_fail(call, 1, "usage: lookup(word)");
        return;
    }
    const struct entry *entry = length > 0 && length < WORD_MAX ? find(word, length) : NULL;
    bh_value reply =
        entry != NULL && entry->word[0] != '\0' ? bh_value_int64(entry->number) : bh_value_null();
    bh_call_reply(call, &reply);
}

static void count_entries(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value reply = bh_value_int64((int64_t)entries);

    (void)arguments, (void)count, (void)context;
    bh_call_reply(call, &reply);
}

/* The kernel counts a page that n processes share as one n-th of a page for each: Pss. */
static void memory(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t rss = 0, pss = 0, clean = 0, dirty = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    char line[256];

    (void)arguments, (void)count, (void)context;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        long long kib;
        if (sscanf(line, "Rss: %lld", &kib) == 1)
            rss = kib;
        else if (sscanf(line, "Pss: %lld", &kib) == 1)
            pss = kib;
        else if (sscanf(line, "Private_Clean: %lld", &kib) == 1)
            clean = kib;
        else if (sscanf(line, "Private_Dirty: %lld", &kib) == 1)
            dirty = kib;
    }
    if (file != NULL)
        fclose(file);
    const int64_t figures[] = {rss, pss, clean + dirty};
    bh_value reply = bh_value_view_i64(figures, 3);
    bh_call_reply(call, &reply);
}

int main(int argc, char **argv)
{
    static const struct bh_method methods[] = {
        {"lookup", lookup, "lookup(word) -> its number, or null"},
        {"entries", count_entries, "entries() -> how many there are"},
        {"memory", memory, "memory() -> [resident, proportional, private] in KiB"},
        {NULL, NULL, NULL},
    };
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    worker.init = init;
    worker.fork_safe = true;
    return bh_worker_main(argc, argv, &worker);
}
