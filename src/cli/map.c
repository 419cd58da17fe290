/* SPDX-License-Identifier: MIT */
/*
 * bulkhead map: one call for each input, one result line for each call.
 *
 * Model: one thread reads inputs and submits them while the window has room, and takes completions
 * and writes them. So memory is bounded whatever the length of the input and wherever it stalls: by
 * the number of inputs on their way, by their distance, and by their bytes.
 *
 * A run ends early when a worker cannot be started, when there were too many deaths, or when the
 * user says so. What was on its way then is not written: it has no result, and --resume goes on
 * with it.
 */
#include "map.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { TAKE_AT_ONCE = 64, TAKE_MS = 100 };

/* Why a run ends before its inputs do. */
enum stop { GO_ON, STOP_SIGNAL, STOP_DEATHS, STOP_START, STOP_OUTPUT };

/* An input on its way. */
struct flight {
    uint64_t number;
    char *file;
    size_t bytes;
};

struct map {
    const struct cli_command *command;
    struct cli_settings settings;
    const char *method;
    bh_value arguments;      /* that come before each input */
    bh_value *argument_list; /* they, and room for the input; what they own is not its */
    struct map_input *input;
    struct map_results *results;
    struct map_progress progress;
    struct map_sums sums;
    struct map_item next; /* read, and not submitted yet; number 0: none */
    bool input_over;
    bh_pool *pool;
    bh_cancel *cancel;
    uint32_t flying;
    size_t flying_bytes;
    size_t largest; /* result so far */
    int64_t flushed;
    _Atomic bool interrupted;
    enum stop stop;
};

/* ---- one result -------------------------------------------------------------------------- */

/* {"input":N,"file":…, then what `bulkhead call --json` prints. */
static char *format_line(const struct flight *flight, const bh_value *outcome, size_t *length)
{
    bh_value map = bh_value_map();
    bh_value value = bh_value_int64((int64_t)flight->number);
    char *text;

    if (bh_map_set(&map, "input", &value) != BH_OK)
        cli_no_memory();
    if (flight->file != NULL) {
        if (bh_value_new_string(&value, flight->file, strlen(flight->file)) != BH_OK)
            value = bh_value_null();
        if (bh_map_set(&map, "file", &value) != BH_OK)
            cli_no_memory();
    }
    for (size_t i = 0; i < outcome->length; i++) {
        const struct bh_member *member = &outcome->as.members[i];
        if (bh_value_copy(&value, &member->value) != BH_OK ||
            bh_map_set(&map, member->key.as.string, &value) != BH_OK)
            cli_no_memory();
    }
    if (bh_json_write(&map, BH_JSON_COMPACT, &text, length) != BH_OK)
        cli_no_memory();
    bh_value_deinit(&map);
    return text;
}

static void put_result(struct map *map, const struct flight *flight, const struct bh_result *result)
{
    bh_value outcome;
    size_t length;

    if (bh_result_to_value(result, &outcome) != BH_OK)
        cli_no_memory();
    char *line = format_line(flight, &outcome, &length);
    if (length > map->largest)
        map->largest = length;
    bh_value_deinit(&outcome);
    map_results_put(map->results, flight->number, line, length);
}

/* ---- inputs ------------------------------------------------------------------------------ */

/* An input that cannot be sent has a result all the same. */
static void put_flaw(struct map *map, struct map_item *item)
{
    struct flight flight = {item->number, item->file, 0};
    struct bh_result result;

    memset(&result, 0, sizeof result);
    result.outcome = BH_OUTCOME_REFUSED;
    result.refusal = BH_REFUSAL_INVALID;
    result.text = item->flaw;
    put_result(map, &flight, &result);
    map->sums.invalid++;
    map_item_deinit(item);
}

/* Whether read_next() would not wait for somebody who writes the inputs. */
static bool has_input(const struct map *map, unsigned wait_ms)
{
    return map->next.number != 0 || map->input_over || map_input_ready(map->input, wait_ms);
}

/* Reads on to the next input that has no result. @return whether there is one, in map->next */
static bool read_next(struct map *map)
{
    while (map->next.number == 0 && !map->input_over) {
        bool wanted = !map_results_has(map->results, map_input_number(map->input));
        map->input_over = !map_input_next(map->input, wanted, &map->next);
        if (!wanted)
            map_item_deinit(&map->next);
    }
    return map->next.number != 0;
}

static bool has_room(const struct map *map)
{
    size_t held = map->flying_bytes + map_results_waiting(map->results) +
                  map->flying * map->largest; /* as far as anybody can know */

    return map->flying < 16 + 8 * map->settings.pool.max_workers &&
           map->next.number < map_results_floor(map->results) + MAP_WINDOW &&
           (held == 0 || held + map->next.bytes <= MAP_BYTES);
}

static struct flight *take_off(struct map_item *item)
{
    struct flight *flight = malloc(sizeof *flight);

    if (flight == NULL)
        cli_no_memory();
    *flight = (struct flight){item->number, item->file, item->bytes};
    item->file = NULL;
    return flight;
}

static void land(struct flight *flight)
{
    free(flight->file);
    free(flight);
}

/* Sends map->next. */
static void submit(struct map *map)
{
    struct bh_request request = BH_REQUEST_INIT;
    struct flight *flight = take_off(&map->next);
    enum bh_refusal refusal;

    map->argument_list[map->arguments.length] = map->next.value;
    request.method = map->method;
    request.arguments = map->argument_list;
    request.argument_count = map->arguments.length + 1;
    request.retries = map->settings.retries;
    request.cancel = map->cancel;
    refusal = bh_pool_submit(map->pool, &request, NULL, flight);
    map_item_deinit(&map->next);
    if (refusal == BH_REFUSAL_NONE) {
        map->flying++;
        map->flying_bytes += flight->bytes;
        return;
    }
    land(flight);
    if (refusal == BH_REFUSAL_MEMORY)
        cli_no_memory();
    map->stop = STOP_START; /* nothing else is left: the queue is longer than the window */
}

/* What a reader of the results waits for comes soon, and few system calls are made for it. */
static void flush_now_and_then(struct map *map)
{
    int64_t now = map_now_ms();

    if (now - map->flushed < TAKE_MS)
        return;
    map->flushed = now;
    if (!map_results_flush(map->results) && map->stop == GO_ON)
        map->stop = STOP_OUTPUT;
}

static void fill(struct map *map)
{
    while (map->stop == GO_ON && !atomic_load(&map->interrupted) && has_input(map, 0) &&
           read_next(map) && has_room(map)) {
        if (map->next.flaw == NULL) {
            submit(map);
            continue;
        }
        put_flaw(map, &map->next);
        flush_now_and_then(map);
    }
}

/* ---- results ----------------------------------------------------------------------------- */

static bool cannot_start(const struct bh_result *result)
{
    return result->outcome == BH_OUTCOME_REFUSED &&
           (result->refusal == BH_REFUSAL_CRASH_LOOP || result->refusal == BH_REFUSAL_CANNOT_START);
}

static void take_result(struct map *map, const struct flight *flight,
                        const struct bh_result *result)
{
    map->flying--;
    map->flying_bytes -= flight->bytes;
    if (cannot_start(result) && map->stop == GO_ON)
        map->stop = STOP_START;
    if (cannot_start(result) || result->outcome == BH_OUTCOME_CANCELLED)
        return;
    put_result(map, flight, result);
    map->sums.outcome[result->outcome]++;
    if (map->settings.max_deaths > 0 && map->stop == GO_ON &&
        map->sums.outcome[BH_OUTCOME_DIED] >= map->settings.max_deaths)
        map->stop = STOP_DEATHS;
}

static void take_results(struct map *map)
{
    struct bh_completion completions[TAKE_AT_ONCE];
    size_t count = bh_pool_take(map->pool, completions, TAKE_AT_ONCE, TAKE_MS);

    for (size_t i = 0; i < count; i++) {
        take_result(map, completions[i].context, &completions[i].result);
        bh_result_deinit(&completions[i].result);
        land(completions[i].context);
    }
}

/* ---- the run ----------------------------------------------------------------------------- */

static void on_interrupt(void *context)
{
    struct map *map = context;

    atomic_store(&map->interrupted, true); /* pairs with the load in work() */
    bh_cancel_raise(map->cancel);
}

/* Nothing is on its way: who reads the results gets all there is. */
static void await_input(struct map *map)
{
    if (!has_input(map, 0)) {
        map->flushed = 0;
        flush_now_and_then(map);
        has_input(map, TAKE_MS);
    }
}

static void work(struct map *map)
{
    bool told = false;

    for (;;) {
        if (atomic_load(&map->interrupted) && map->stop == GO_ON)
            map->stop = STOP_SIGNAL;
        fill(map);
        if (map->flying == 0 && (map->stop != GO_ON || map->input_over))
            break;
        if (map->stop != GO_ON && !told)
            bh_cancel_raise(map->cancel);
        told |= map->stop != GO_ON;
        if (map->flying > 0)
            take_results(map);
        else
            await_input(map);
        flush_now_and_then(map);
        map_progress_draw(&map->progress, &map->sums, map_input_part(map->input));
    }
}

static int explain_start(const struct map *map, const struct cli_deaths *deaths)
{
    const struct bh_death *death = cli_deaths_last(deaths);
    char line[512] = "the worker cannot be started";

    if (death != NULL)
        bh_death_describe(death, line, sizeof line);
    cli_complain("map: stopped: %s%s", line, cli_start_hint(&map->settings, death));
    if (map->settings.verbose && death != NULL)
        cli_report_output(death);
    return CLI_REFUSED;
}

static const char *how_to_go_on(const struct map *map)
{
    return map->settings.resume != NULL ? "; the same command goes on from here" : "";
}

/* Why it stopped, and what to do. */
static int explain_stop(const struct map *map, const struct cli_deaths *deaths, int signal)
{
    switch (map->stop) {
    case STOP_SIGNAL:
        cli_complain("map: interrupted by %s%s", cli_signal_name(signal), how_to_go_on(map));
        return CLI_SIGNAL + signal;
    case STOP_DEATHS:
        cli_complain("map: stopped after %" PRIu64 " deaths, which is --max-deaths%s",
                     map->sums.outcome[BH_OUTCOME_DIED], how_to_go_on(map));
        return CLI_DIED;
    case STOP_START:
        return explain_start(map, deaths);
    case STOP_OUTPUT:
        return CLI_OUTPUT;
    default:
        return CLI_OK;
    }
}

static int status_of_sums(const struct map_sums *sums)
{
    if (sums->outcome[BH_OUTCOME_DIED] > 0)
        return CLI_DIED;
    if (sums->outcome[BH_OUTCOME_DEADLINE] > 0)
        return CLI_DEADLINE;
    if (sums->outcome[BH_OUTCOME_REFUSED] + sums->invalid > 0)
        return CLI_REFUSED;
    return sums->outcome[BH_OUTCOME_FAILED] > 0 ? CLI_FAILED : CLI_OK;
}

static void add_count(char *text, size_t size, uint64_t count, const char *what)
{
    size_t length = strlen(text);

    if (count > 0)
        snprintf(text + length, size - length, "%s%" PRIu64 " %s", length > 0 ? ", " : "", count,
                 what);
}

static void report_sums(const struct map *map)
{
    const struct map_sums *sums = &map->sums;
    char text[256] = "";

    for (unsigned i = 0; i < BH_OUTCOME_COUNT; i++)
        add_count(text, sizeof text, sums->outcome[i], bh_outcome_name(i));
    add_count(text, sizeof text, sums->invalid, "invalid");
    add_count(text, sizeof text, sums->earlier, "done before");
    if (text[0] == '\0')
        snprintf(text, sizeof text, "%s",
                 map_input_number(map->input) > 1 ? "nothing done" : "no input");
    cli_complain("map: %s", text);
}

static int run(struct map *map)
{
    struct cli_deaths *deaths = cli_deaths_new(&map->settings.pool);
    struct bh_problem problem = {0};
    int status = CLI_OK, signal;

    map->cancel = bh_cancel_new();
    if (map->cancel == NULL)
        cli_no_memory();
    if (bh_pool_open(&map->pool, &map->settings.pool, &problem) != BH_OK) {
        cli_usage(map->command, "%s", problem.text);
        status =
            problem.code == BH_E_INVALID || problem.code == BH_E_RANGE ? CLI_USAGE : CLI_REFUSED;
    } else {
        cli_interrupt_begin(on_interrupt, map);
        map_progress_begin(&map->progress);
        work(map);
        map_progress_end(&map->progress);
        bh_pool_close(map->pool);
        signal = cli_interrupt_end();
        report_sums(map);
        status = explain_stop(map, deaths, signal);
        if (status == CLI_OK)
            status = map_input_failed(map->input) ? CLI_REFUSED : status_of_sums(&map->sums);
    }
    map_item_deinit(&map->next);
    bh_cancel_free(map->cancel);
    cli_deaths_free(deaths);
    return status;
}

/* ---- the command line -------------------------------------------------------------------- */

static int check_settings(const struct map *map)
{
    const struct cli_settings *settings = &map->settings;

    if (settings->files.count > 0 && settings->files_from != NULL)
        return cli_usage(map->command, "--files and --files0-from exclude each other");
    if (settings->paths && settings->files.count == 0 && settings->files_from == NULL)
        return cli_usage(map->command, "--paths is for files: give --files or --files0-from");
    return CLI_OK;
}

/* Everything that can be wrong with the command line. */
static int prepare(struct map *map, int argc, char **argv)
{
    struct cli_settings *settings = &map->settings;
    int status = cli_settings_worker(settings, map->command);

    if (status == CLI_OK)
        status = check_settings(map);
    if (status != CLI_OK)
        return status;
    if (settings->rest >= argc)
        return cli_usage(map->command, "which method? bulkhead methods lists what a worker offers");
    map->method = argv[settings->rest];
    status = cli_arguments(map->command, settings, argc, argv, &map->arguments);
    if (status != CLI_OK)
        return status;
    map->argument_list = malloc((map->arguments.length + 1) * sizeof(bh_value));
    if (map->argument_list == NULL)
        cli_no_memory();
    for (size_t i = 0; i < map->arguments.length; i++)
        map->argument_list[i] = map->arguments.as.items[i];
    if (settings->pool.queue_length < MAP_WINDOW)
        settings->pool.queue_length = MAP_WINDOW;
    return CLI_OK;
}

static int open_and_run(struct map *map)
{
    int status = CLI_USAGE;

    map->results = map_results_open(map->command, &map->settings);
    map->input = map->results != NULL ? map_input_open(map->command, &map->settings) : NULL;
    if (map->input != NULL) {
        map->sums.earlier = map_results_earlier(map->results);
        status = run(map);
    }
    map_input_close(map->input);
    return map_results_close(map->results) ? status : CLI_OUTPUT;
}

int cli_map(const struct cli_command *command, int argc, char **argv)
{
    struct map map = {.command = command};
    int status = cli_settings_read(&map.settings, command, argc, argv);

    if (status == CLI_OK && map.settings.help) {
        status = cli_help_command(command);
    } else if (status == CLI_OK) {
        status = prepare(&map, argc, argv);
        if (status == CLI_OK)
            status = open_and_run(&map);
    }
    free(map.argument_list);
    bh_value_deinit(&map.arguments);
    cli_settings_deinit(&map.settings);
    return status;
}
