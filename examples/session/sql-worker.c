/* SPDX-License-Identifier: MIT */
/*
 * sql-worker: a SQLite database in memory, one per process. It lives as long as the worker, so it
 * is of use to a session only.
 *
 *   query(sql) -> rows   an array of arrays; columns are integers, reals, strings, bytes or null
 *   crash()              what a bug in a native library does
 */
#include <bulkhead/worker.h>

#include <sqlite3.h>
#include <stdlib.h>

static bh_value column(sqlite3_stmt *statement, int i)
{
    const char *text = (const char *)sqlite3_column_text(statement, i);
    size_t length = (size_t)sqlite3_column_bytes(statement, i);

    switch (sqlite3_column_type(statement, i)) {
    case SQLITE_INTEGER:
        return bh_value_int64(sqlite3_column_int64(statement, i));
    case SQLITE_FLOAT:
        return bh_value_double(sqlite3_column_double(statement, i));
    case SQLITE_TEXT:
        return bh_value_view_string(text, length);
    case SQLITE_BLOB:
        return bh_value_view_bytes(sqlite3_column_blob(statement, i), length);
    default:
        return bh_value_null();
    }
}

/* A row that owns what it holds: the statement's own goes with the next step. */
static bool add_row(bh_value *rows, sqlite3_stmt *statement)
{
    bh_value row = bh_value_array();
    bool good = true;

    for (int i = 0; i < sqlite3_column_count(statement) && good; i++) {
        bh_value view = column(statement, i), copy;
        good = bh_value_copy(&copy, &view) == BH_OK && bh_array_push(&row, &copy) == BH_OK;
    }
    return good && bh_array_push(rows, &row) == BH_OK;
}

static void run(bh_call *call, sqlite3 *database, sqlite3_stmt *statement)
{
    bh_value rows = bh_value_array();
    int step;

    while ((step = sqlite3_step(statement)) == SQLITE_ROW && add_row(&rows, statement))
        continue;
    if (step == SQLITE_DONE)
        bh_call_reply(call, &rows);
    else
        bh_call_fail(call, step, "%s", step == SQLITE_ROW ? "no memory" : sqlite3_errmsg(database));
    bh_value_deinit(&rows);
}

static void query(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    sqlite3_stmt *statement = NULL;
    const char *sql;
    size_t length;

    if (count != 1 || bh_value_get_string(&arguments[0], &sql, &length) != BH_OK ||
        length > INT32_MAX)
        bh_call_fail(call, SQLITE_MISUSE, "query needs one string");
    else if (sqlite3_prepare_v2(context, sql, (int)length, &statement, NULL) != SQLITE_OK)
        bh_call_fail(call, sqlite3_errcode(context), "%s", sqlite3_errmsg(context));
    else
        run(call, context, statement);
    sqlite3_finalize(statement);
}

static void crash(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)call, (void)arguments, (void)count, (void)context;
    *(volatile int *)(volatile uintptr_t){8} = 1;
}

static int init(int argc, char **argv, void **context)
{
    (void)argc, (void)argv;
    return sqlite3_open(":memory:", (sqlite3 **)context);
}

int main(int argc, char **argv)
{
    static const struct bh_method methods[] = {
        {"query", query, "query(sql) -> rows"}, {"crash", crash, "crash()"}, {NULL, NULL, NULL}};
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    worker.fork_safe = true;
    worker.init = init;
    return bh_worker_main(argc, argv, &worker);
}
