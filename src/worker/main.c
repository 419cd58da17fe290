/* SPDX-License-Identifier: MIT */
/*
 * bh_worker_main(): a worker's life from its command line to its exit status.
 *
 * Model: check the table, take the ticket, open the channel, init, settle (a template stays there,
 * and each worker forked from it goes on), announce, serve, fini.
 * Everything that can be wrong before the first request is said on stderr, which the dispatcher
 * keeps for the death record, and ends with status 2; init() ends with its own.
 *
 * Invariants: the channel is open, and with it the fault handlers, before any of the worker's own
 * code runs. What a handler printed is flushed before its request's answer is sent, so that output
 * can be attributed. No thread is started, nothing is allocated between requests.
 */
#include "by_hand.h"
#include "call.h"
#include "channel.h"
#include "table.h"
#include "ticket.h"

#include "core/problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_SETUP 2

struct life {
    struct bh_worker worker;
    uint32_t method_count;
    const char *program;
    void *context; /* what init() made */
};

/* Copies the caller's struct, which may be older (shorter) or newer than ours. */
static int adopt(struct bh_worker *out, const struct bh_worker *given, struct bh_problem *problem)
{
    size_t least = offsetof(struct bh_worker, methods) + sizeof given->methods;

    memset(out, 0, sizeof *out);
    if (given == NULL || given->size < least)
        return bhi_problem_set(problem, BH_E_INVALID, 0,
                               "struct bh_worker: begin it with BH_WORKER_INIT");
    memcpy(out, given, given->size < sizeof *out ? given->size : sizeof *out);
    return BH_OK;
}

static void serve_request(void *context, const struct bhi_request *request)
{
    struct life *life = context;
    const struct bh_method *method = &life->worker.methods[request->method];
    bh_call call;

    bhi_call_init(&call, request->serial, method->name);
    method->call(&call, request->arguments, request->count, life->context);
    fflush(stdout);
    bhi_call_finish(&call);
}

static void serve_idle(void *context)
{
    struct life *life = context;

    life->worker.idle(life->context);
}

static int announce(const struct life *life, struct bh_problem *problem)
{
    bh_value methods;
    int error = bhi_table_value(life->worker.methods, life->method_count, &methods);

    if (error != BH_OK)
        return bhi_problem_set(problem, error, 0, "no memory to announce the methods");
    error = bhi_channel_announce(&methods, problem);
    bh_value_deinit(&methods);
    return error;
}

/* Runs init(). One that fails ends the process, and not with success. */
static void begin(struct life *life, int argc, char **argv)
{
    int status;

    if (life->worker.init == NULL)
        return;
    status = life->worker.init(argc, argv, &life->context);
    if (status != 0)
        exit((status & 0xff) != 0 ? status : 1);
}

static void serve(struct life *life)
{
    struct bhi_channel_owner owner = {
        .context = life,
        .method_count = life->method_count,
        .idle_exit_ms = life->worker.idle_exit_ms,
        .request = serve_request,
        .idle = life->worker.idle == NULL ? NULL : serve_idle,
    };

    bhi_channel_serve(&owner);
}

static int open_channel(const char *argument, struct bh_problem *problem)
{
    struct bhi_ticket ticket;

    if (!bhi_ticket_parse(argument, &ticket))
        return bhi_problem_set(problem, BH_E_SYNTAX, 0, "malformed argument: %s", argument);
    return bhi_channel_open(ticket.cookie, ticket.dispatcher_pid, problem);
}

static int give_up(const struct life *life, const struct bh_problem *problem)
{
    fprintf(stderr, "%s: %s\n", life->program, problem->text);
    return STATUS_SETUP;
}

int bh_worker_main(int argc, char **argv, const struct bh_worker *worker)
{
    struct life life = {.program = bhi_program_name(argc, argv)};
    struct bh_problem problem;
    char *ticket;

    bhi_channel_prepare();
    argv = bhi_channel_words(argc, argv);
    if (adopt(&life.worker, worker, &problem) != BH_OK ||
        bhi_table_check(life.worker.methods, &life.method_count, &problem) != BH_OK)
        return give_up(&life, &problem);
    if (argc < 2 || !bhi_ticket_is(argv[argc - 1]))
        return bhi_by_hand(argc, argv, life.worker.methods, life.method_count);
    ticket = argv[--argc];
    argv[argc] = NULL;

    if (open_channel(ticket, &problem) != BH_OK)
        return give_up(&life, &problem);
    begin(&life, argc, argv);
    if (bhi_channel_settle(life.worker.fork_safe, &problem) != BH_OK)
        return give_up(&life, &problem);
    if (announce(&life, &problem) != BH_OK)
        return give_up(&life, &problem);
    serve(&life);
    if (life.worker.fini != NULL)
        life.worker.fini(life.context);
    return 0;
}
