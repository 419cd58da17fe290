/* SPDX-License-Identifier: MIT */
/*
 * The deaths that happened besides the one that the result tells of: at start-up, between requests,
 * of earlier attempts.
 *
 * Model: the event sink copies each record, on the pool's supervisor thread; nobody reads the list
 * before the pool is closed, when that thread is gone. No lock is needed.
 */
#include "cli.h"

#include <stdlib.h>

enum { MOST = 100 }; /* a crash loop has no end; the first ones tell the story */

struct cli_deaths {
    struct bh_death items[MOST];
    size_t count;
};

static void keep(void *context, const struct bh_event *event)
{
    struct cli_deaths *deaths = context;

    if (event->type == BH_EVENT_DIED && event->death != NULL && deaths->count < MOST &&
        bh_death_copy(&deaths->items[deaths->count], event->death) == BH_OK)
        deaths->count++;
}

struct cli_deaths *cli_deaths_new(struct bh_pool_options *options)
{
    struct cli_deaths *deaths = calloc(1, sizeof *deaths);

    if (deaths == NULL)
        cli_no_memory();
    options->on_event = keep;
    options->event_context = deaths;
    options->event_mask = 1u << BH_EVENT_DIED;
    return deaths;
}

void cli_deaths_add(struct cli_deaths *deaths, uint64_t cookie, bh_value *map)
{
    bh_value list = bh_value_array();

    for (size_t i = 0; i < deaths->count; i++) {
        bh_value item;

        if (deaths->items[i].cookie == cookie)
            continue;
        if (bh_death_to_value(&deaths->items[i], &item) != BH_OK ||
            bh_array_push(&list, &item) != BH_OK)
            cli_no_memory();
    }
    if (list.length > 0 && bh_map_set(map, "deaths", &list) != BH_OK)
        cli_no_memory();
    bh_value_deinit(&list);
}

const struct bh_death *cli_deaths_last(const struct cli_deaths *deaths)
{
    return deaths->count > 0 ? &deaths->items[deaths->count - 1] : NULL;
}

void cli_deaths_free(struct cli_deaths *deaths)
{
    for (size_t i = 0; i < deaths->count; i++)
        bh_death_deinit(&deaths->items[i]);
    free(deaths);
}
