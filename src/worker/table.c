/* SPDX-License-Identifier: MIT */
/*
 * The method table.
 *
 * Model: the table is the program's own and static, so it is checked once at start-up; the index
 * that a request brings is then all it takes to find a handler. A table with a mistake in it
 * refuses to start: the mistake is a programmer's, and the text goes to where he looks.
 */
#include "table.h"

#include "core/problem.h"
#include "core/utf8.h"

#include <string.h>

static int check_entry(const struct bh_method *methods, uint32_t i, struct bh_problem *problem)
{
    const struct bh_method *method = &methods[i];

    if (method->name[0] == '\0')
        return bhi_problem_set(problem, BH_E_INVALID, 0, "method %u has an empty name", i);
    if (!bhi_utf8_valid(method->name, strlen(method->name)))
        return bhi_problem_set(problem, BH_E_UTF8, 0, "the name of method %u is not UTF-8: %s", i,
                               method->name);
    if (method->call == NULL)
        return bhi_problem_set(problem, BH_E_INVALID, 0, "method \"%s\" has no handler",
                               method->name);
    if (method->help != NULL && !bhi_utf8_valid(method->help, strlen(method->help)))
        return bhi_problem_set(problem, BH_E_UTF8, 0, "the help of method \"%s\" is not UTF-8",
                               method->name);
    for (uint32_t k = 0; k < i; k++) {
        if (strcmp(methods[k].name, method->name) == 0)
            return bhi_problem_set(problem, BH_E_DUPLICATE, 0,
                                   "method \"%s\" is in the table twice", method->name);
    }
    return BH_OK;
}

int bhi_table_check(const struct bh_method *methods, uint32_t *count, struct bh_problem *problem)
{
    uint32_t n = 0;

    if (methods == NULL)
        return bhi_problem_set(problem, BH_E_INVALID, 0, "the worker has no method table");
    for (; methods[n].name != NULL; n++) {
        int error = check_entry(methods, n, problem);
        if (error != BH_OK)
            return error;
    }
    *count = n;
    return BH_OK;
}

static int entry_value(const struct bh_method *method, bh_value *out)
{
    bh_value name = bh_value_view(method->name);
    bh_value help = bh_value_view(method->help == NULL ? "" : method->help);
    int error;

    *out = bh_value_map();
    error = bh_map_set(out, "name", &name);
    if (error == BH_OK)
        error = bh_map_set(out, "help", &help);
    return error;
}

int bhi_table_value(const struct bh_method *methods, uint32_t count, bh_value *out)
{
    *out = bh_value_array();
    for (uint32_t i = 0; i < count; i++) {
        bh_value entry;
        int error = entry_value(&methods[i], &entry);

        if (error == BH_OK)
            error = bh_array_push(out, &entry);
        if (error != BH_OK) {
            bh_value_deinit(&entry);
            bh_value_deinit(out);
            return error;
        }
    }
    return BH_OK;
}

/* A help line shows how the method is called, so it mostly begins with its name. */
static bool help_has_name(const struct bh_method *method)
{
    return method->help != NULL && strncmp(method->help, method->name, strlen(method->name)) == 0;
}

void bhi_table_print(const struct bh_method *methods, uint32_t count, FILE *out)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct bh_method *method = &methods[i];

        if (help_has_name(method))
            fprintf(out, "%s\n", method->help);
        else if (method->help == NULL)
            fprintf(out, "%s\n", method->name);
        else
            fprintf(out, "%s  %s\n", method->name, method->help);
    }
}
