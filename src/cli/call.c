/* SPDX-License-Identifier: MIT */
/*
 * bulkhead call: one request, to a pool of one worker.
 *
 * Model: read everything and complain about it before a process is started; then open, call, close,
 * say. A reply is printed as soon as it is there; with --json everything is printed at the end,
 * when the pool has closed and every death is known.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* One run of the command. */
struct call {
    const struct cli_command *command;
    struct cli_settings settings;
    const char *method;
    bh_value arguments;
    struct bh_result result;
    struct cli_deaths *deaths;
};

static void raise_cancel(void *context)
{
    bh_cancel_raise(context);
}

/* A pool that does not open has refused the request. */
static void refuse(struct bh_result *result, const struct bh_problem *problem)
{
    result->outcome = BH_OUTCOME_REFUSED;
    result->delivery = BH_DELIVERY_NEVER_STARTED;
    result->refusal = BH_REFUSAL_CANNOT_START;
    result->text = malloc(strlen(problem->text) + 1);
    if (result->text == NULL)
        cli_no_memory();
    strcpy(result->text, problem->text);
}

static void print_reply(const struct call *call)
{
    const bh_value *reply = &call->result.reply;

    if (call->settings.raw && reply->type == BH_BYTES)
        cli_write(reply->as.bytes, reply->length);
    else if (call->settings.raw && reply->type == BH_STRING)
        cli_write(reply->as.string, reply->length);
    else
        cli_write_json(reply, false);
    cli_flush();
}

/* Opens, asks and closes. @return CLI_USAGE when the pool did not like the options, else CLI_OK */
static int ask(struct call *call, bh_cancel *cancel)
{
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_problem problem = {0};
    bh_pool *pool;
    int error = bh_pool_open(&pool, &call->settings.pool, &problem);

    if (error == BH_E_INVALID || error == BH_E_RANGE)
        return cli_usage(call->command, "%s", problem.text);
    if (error != BH_OK) {
        refuse(&call->result, &problem);
        return CLI_OK;
    }
    request.method = call->method;
    request.arguments = call->arguments.as.items;
    request.argument_count = call->arguments.length;
    request.retries = call->settings.retries;
    request.cancel = cancel;
    bh_pool_call(pool, &request, &call->result);
    if ((call->result.outcome == BH_OUTCOME_REPLIED || call->result.partial) &&
        !call->settings.json)
        print_reply(call);
    bh_pool_close(pool);
    return CLI_OK;
}

static void print_outcome(struct call *call)
{
    uint64_t cookie = call->result.has_death ? call->result.death.cookie : 0;
    bh_value map;

    if (bh_result_to_value(&call->result, &map) != BH_OK)
        cli_no_memory();
    cli_deaths_add(call->deaths, cookie, &map);
    cli_write_json(&map, true);
    bh_value_deinit(&map);
}

static int run(struct call *call)
{
    bh_cancel *cancel = bh_cancel_new();
    int status, signal;

    if (cancel == NULL)
        cli_no_memory();
    call->deaths = cli_deaths_new(&call->settings.pool);
    cli_interrupt_begin(raise_cancel, cancel);
    status = ask(call, cancel);
    signal = cli_interrupt_end();
    if (status == CLI_OK) {
        status = cli_report_status(&call->result, signal);
        if (call->settings.json)
            print_outcome(call);
        cli_report(call->method, &call->settings, &call->result, signal);
        if (call->settings.verbose && call->result.has_death)
            cli_report_output(&call->result.death);
    }
    bh_result_deinit(&call->result);
    cli_deaths_free(call->deaths);
    bh_cancel_free(cancel);
    return status;
}

/* Everything that can be wrong with the command line. */
static int prepare(struct call *call, int argc, char **argv)
{
    int status = cli_settings_worker(&call->settings, call->command);

    if (status != CLI_OK)
        return status;
    if (call->settings.json && call->settings.raw)
        return cli_usage(call->command, "--json and --raw exclude each other");
    if (call->settings.rest >= argc)
        return cli_usage(call->command,
                         "which method? bulkhead methods lists what a worker offers");
    call->method = argv[call->settings.rest];
    return cli_arguments(call->command, &call->settings, argc, argv, &call->arguments);
}

int cli_call(const struct cli_command *command, int argc, char **argv)
{
    struct call call = {.command = command};
    int status = cli_settings_read(&call.settings, command, argc, argv);

    if (status == CLI_OK && call.settings.help) {
        status = cli_help_command(command);
    } else if (status == CLI_OK) {
        status = prepare(&call, argc, argv);
        if (status == CLI_OK)
            status = run(&call);
    }
    bh_value_deinit(&call.arguments);
    cli_settings_deinit(&call.settings);
    return status;
}
