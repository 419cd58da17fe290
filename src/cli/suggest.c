/* SPDX-License-Identifier: MIT */
/*
 * Which name was meant by a misspelt one.
 *
 * Model: the edit distance (insert, delete, replace, swap neighbours) to each name; the nearest
 * counts when at most a third of the longer text would have to change, or when what was typed is
 * the beginning of the only one.
 */
#include "cli.h"

#include <string.h>

enum { LONGEST = 40 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edit distance of two texts, each of at most LONGEST bytes. */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t rows[3][LONGEST + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b_length; j++)
        above[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);

            best = smaller(best, smaller(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = smaller(best, before[j - 2] + 1);
            row[j] = best;
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b_length];
}

/* The only name that begins with `text`, or NULL. */
static const char *completion(const char *text, const char *const *names, size_t count)
{
    const char *found = NULL;
    size_t length = strlen(text);

    for (size_t i = 0; i < count && length > 1; i++) {
        if (strncmp(names[i], text, length) != 0)
            continue;
        if (found != NULL)
            return NULL;
        found = names[i];
    }
    return found;
}

const char *cli_suggest(const char *text, const char *const *names, size_t count)
{
    const char *found = completion(text, names, count);
    size_t length = strlen(text);
    size_t least = LONGEST;

    if (found != NULL || length > LONGEST)
        return found;
    for (size_t i = 0; i < count; i++) {
        size_t other = strlen(names[i]);
        size_t far = other > LONGEST ? LONGEST : distance(text, length, names[i], other);

        if (far < least && far * 3 <= (length > other ? length : other)) {
            least = far;
            found = names[i];
        }
    }
    return found;
}
