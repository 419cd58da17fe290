/* SPDX-License-Identifier: MIT */
/*
 * The rows of bench-com: the library beside the same design written by hand. Figures, not checks:
 * another program that runs at the same time spoils them.
 */
#include "selftest.h"

#include "rows.h"

#include <objbase.h>

#define ROUNDS 3

static void set(bh_value *map, const char *key, bh_value value)
{
    bh_map_set(map, key, &value); /* numbers and views own nothing */
}

static void tell(const struct row *row, const struct row_result *result)
{
    if (row->limit > 0)
        report_note("%-28s %11.1f us, bare %11.1f us, x %6.3f, at most %.2f: %s", row->title,
                    result->ours_us, result->bare_us, result->ratio, row->limit,
                    result->met ? "met" : "NOT MET");
    else
        report_note("%-28s %11.1f us, bare %11.1f us, x %6.3f", row->title, result->ours_us,
                    result->bare_us, result->ratio);
}

static void tell_all(const struct row_result *results)
{
    bh_value list = bh_value_array();

    for (unsigned i = 0; rows[i].name != NULL; i++) {
        bh_value row = bh_value_map();
        tell(&rows[i], &results[i]);
        set(&row, "name", bh_value_view(rows[i].name));
        set(&row, "bare_us", bh_value_double(results[i].bare_us));
        set(&row, "bulkhead_us", bh_value_double(results[i].ours_us));
        set(&row, "ratio", bh_value_double(results[i].ratio));
        if (bh_array_push(&list, &row) != BH_OK)
            bh_value_deinit(&row);
    }
    report_add("timings", &list);
}

void timing_run(void)
{
    static struct row_result results[ROWS_MAX];

    report_part("Times, beside the same design written by hand");
    if (FAILED(CoInitializeEx(NULL, COINIT_MULTITHREADED))) {
        report_check(false, "the multithreaded apartment", NULL);
        return;
    }
    if (report_check(rows_measure(results, ROUNDS, NULL), "the times can be taken", NULL))
        tell_all(results);
    CoUninitialize();
}
