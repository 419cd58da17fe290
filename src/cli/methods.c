/* SPDX-License-Identifier: MIT */
/*
 * bulkhead methods: what a worker offers.
 *
 * Model: a pool of one worker is opened only to ask bh_pool_methods(). Ctrl-C drains the pool,
 * which ends the wait.
 */
#include "cli.h"

#include <string.h>

static void drain(void *context)
{
    bh_pool_drain(context);
}

/* A text member of a map, "" when there is none. */
static const char *member(const bh_value *map, const char *key, size_t *length)
{
    const char *text = "";

    *length = 0;
    bh_value_get_string(bh_map_get(map, key), &text, length);
    return text;
}

/* Characters of UTF-8 text, which are columns for most names. */
static int columns(const char *text, size_t length)
{
    int count = 0;

    for (size_t i = 0; i < length; i++)
        count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

static void print_method(const bh_value *method, int width)
{
    size_t name_length, help_length;
    const char *name = member(method, "name", &name_length);
    const char *help = member(method, "help", &help_length);

    cli_clean(stdout, name, name_length);
    if (help_length > 0) {
        cli_print("%*s", width - columns(name, name_length) + 2, "");
        cli_clean(stdout, help, help_length);
    }
    cli_print("\n");
}

static void print_methods(const bh_value *methods)
{
    int width = 0;

    for (uint64_t i = 0; i < methods->length; i++) {
        size_t length;
        const char *name = member(&methods->as.items[i], "name", &length);
        int here = columns(name, length);

        width = here > width ? here : width;
    }
    for (uint64_t i = 0; i < methods->length; i++)
        print_method(&methods->as.items[i], width);
}

/* Says why there is no list. */
static int explain(const struct cli_settings *settings, int signal,
                   const struct bh_problem *problem, const struct cli_deaths *deaths)
{
    const struct bh_death *death = cli_deaths_last(deaths);

    if (signal != 0) {
        cli_complain("methods: interrupted by %s", cli_signal_name(signal));
        return CLI_SIGNAL + signal;
    }
    cli_complain("methods: %s%s", problem->text, cli_start_hint(settings, death));
    if (settings->verbose && death != NULL)
        cli_report_output(death);
    return CLI_REFUSED;
}

static int run(const struct cli_command *command, struct cli_settings *settings)
{
    struct cli_deaths *deaths = cli_deaths_new(&settings->pool);
    struct bh_problem problem = {0};
    bh_value methods = bh_value_null();
    bh_pool *pool;
    int error = bh_pool_open(&pool, &settings->pool, &problem);
    int status = CLI_OK, signal;

    if (error == BH_E_INVALID || error == BH_E_RANGE) {
        status = cli_usage(command, "%s", problem.text);
    } else if (error != BH_OK) {
        status = explain(settings, 0, &problem, deaths);
    } else {
        cli_interrupt_begin(drain, pool);
        error = bh_pool_methods(pool, settings->pool.start_timeout_ms, &methods, &problem);
        signal = cli_interrupt_end();
        bh_pool_close(pool);
        if (error != BH_OK)
            status = explain(settings, signal, &problem, deaths);
        else if (settings->json)
            cli_write_json(&methods, false);
        else
            print_methods(&methods);
    }
    bh_value_deinit(&methods);
    cli_deaths_free(deaths);
    return status;
}

int cli_methods(const struct cli_command *command, int argc, char **argv)
{
    struct cli_settings settings;
    int status = cli_settings_read(&settings, command, argc, argv);

    if (status == CLI_OK && settings.help) {
        status = cli_help_command(command);
    } else if (status == CLI_OK) {
        if (settings.rest < argc)
            status =
                cli_usage(command, "takes no arguments, and \"%s\" is one", argv[settings.rest]);
        else
            status = cli_settings_worker(&settings, command);
        if (status == CLI_OK)
            status = run(command, &settings);
    }
    cli_settings_deinit(&settings);
    return status;
}
