/* SPDX-License-Identifier: MIT */
/*
 * sql-session: a database that lives in a worker, for as long as one session does.
 *
 * Two sessions have two databases. When the worker of one crashes, that session is lost, database
 * and all, and says so: no other worker answers in its place. The other session goes on.
 *
 * Usage: sql-session WORKER
 */
#include <bulkhead/bulkhead.h>

#include <stdio.h>
#include <stdlib.h>

static enum bh_outcome call(bh_session *session, const char *method, const char *sql)
{
    bh_value argument = bh_value_view(sql);
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_result result;
    char *json = NULL;

    request.method = method;
    request.arguments = &argument;
    request.argument_count = 1;
    enum bh_outcome outcome = bh_session_call(session, &request, &result);
    if (outcome == BH_OUTCOME_REPLIED && bh_json_write(&result.reply, BH_JSON_COMPACT, &json, NULL))
        json = NULL;
    printf("  %s\n    %s: %s\n", sql, bh_outcome_name(outcome),
           json != NULL          ? json
           : result.text != NULL ? result.text
                                 : "");
    bh_free(json);
    bh_result_deinit(&result);
    return outcome;
}

static bh_session *open_session(bh_pool *pool)
{
    struct bh_session_options options = BH_SESSION_INIT;
    struct bh_problem problem;
    bh_session *session;

    options.lease_ms = 60000;
    if (bh_session_open(&session, pool, &options, &problem) == BH_OK)
        return session;
    fprintf(stderr, "sql-session: %s\n", problem.text);
    exit(1);
}

static bool fill(bh_session *session, const char *insert)
{
    return call(session, "query", "CREATE TABLE t (n INTEGER, word TEXT)") == BH_OUTCOME_REPLIED &&
           call(session, "query", insert) == BH_OUTCOME_REPLIED;
}

int main(int argc, char **argv)
{
    struct bh_pool_options options;
    struct bh_problem problem;
    bh_pool *pool;

    if (argc != 2)
        return fprintf(stderr, "usage: sql-session WORKER\n"), 2;
    bh_pool_options_init(&options);
    options.worker = argv[1];
    options.max_workers = 3; /* two for sessions; the last one is kept for requests */
    if (bh_pool_open(&pool, &options, &problem) != BH_OK)
        return fprintf(stderr, "sql-session: %s\n", problem.text), 1;

    bh_session *first = open_session(pool);
    bh_session *second = open_session(pool);
    printf("Two sessions, two databases:\n");
    bool good =
        fill(first, "INSERT INTO t VALUES (1, 'one'), (2, 'two')") &&
        fill(second, "INSERT INTO t VALUES (7, 'seven')") &&
        call(first, "query", "SELECT sum(n), group_concat(word) FROM t") == BH_OUTCOME_REPLIED;
    printf("The first one's worker crashes:\n");
    good &= call(first, "crash", "") == BH_OUTCOME_DIED;
    good &= call(first, "query", "SELECT * FROM t") == BH_OUTCOME_REFUSED;
    printf("The second one goes on:\n");
    good &= call(second, "query", "SELECT * FROM t") == BH_OUTCOME_REPLIED;
    bh_session_close(first);
    bh_session_close(second);
    bh_pool_close(pool);
    return good ? 0 : 1;
}
