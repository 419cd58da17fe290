/* SPDX-License-Identifier: MIT */
/*
 * The pool in a GLib main loop: JSON lines on stdin, calls to crashing workers, JSON lines on
 * stdout in the order in which they end.
 *   echo '["divide", 42, 0]' | glib-lines WORKER
 *
 * The pool's waitable is a source of the main context, as any other descriptor: so a GTK program
 * would do it, whose windows stay alive whatever a worker does.
 */
#include <bulkhead/bulkhead.h>

#include <glib-unix.h>
#include <stdio.h>

static bh_pool *pool;
static GMainLoop *loop;
static size_t outstanding;
static gboolean over;

static void stop_when_done(void)
{
    if (over && outstanding == 0)
        g_main_loop_quit(loop);
}

static void say(const bh_value *value)
{
    char *text;
    size_t size;

    if (bh_json_write(value, BH_JSON_COMPACT, &text, &size) != BH_OK)
        return;
    puts(text);
    fflush(stdout);
    bh_free(text);
}

static void complain(const char *what)
{
    bh_value text = bh_value_view(what);

    say(&text);
}

/* ["method", argument…] */
static void ask(const bh_value *words)
{
    struct bh_request request = BH_REQUEST_INIT;

    if (words->type != BH_ARRAY || words->length == 0 || words->as.items[0].type != BH_STRING) {
        complain("expected [\"method\", argument...]");
        return;
    }
    request.method = words->as.items[0].as.string; /* what was read, not viewed, ends with a NUL */
    request.arguments = words->as.items + 1;
    request.argument_count = words->length - 1;
    enum bh_refusal refusal = bh_pool_submit(pool, &request, NULL, NULL);
    if (refusal == BH_REFUSAL_NONE)
        outstanding++;
    else
        complain(bh_refusal_name(refusal));
}

static gboolean on_completions(gint fd, GIOCondition condition, gpointer data)
{
    struct bh_completion done[64];
    size_t count = bh_pool_take(pool, done, 64, 0);

    (void)fd, (void)condition, (void)data;
    for (size_t i = 0; i < count; i++) {
        bh_value value;
        if (bh_result_to_value(&done[i].result, &value) == BH_OK)
            say(&value);
        bh_value_deinit(&value);
        bh_result_deinit(&done[i].result);
    }
    outstanding -= count;
    stop_when_done();
    return G_SOURCE_CONTINUE;
}

static gboolean on_input(GIOChannel *channel, GIOCondition condition, gpointer data)
{
    struct bh_problem problem;
    gchar *text = NULL;
    bh_value words;
    gsize size;

    (void)condition, (void)data;
    GIOStatus status = g_io_channel_read_line(channel, &text, &size, NULL, NULL);
    if (status == G_IO_STATUS_AGAIN)
        return G_SOURCE_CONTINUE;
    over = status != G_IO_STATUS_NORMAL;
    if (!over) {
        if (bh_json_read(&words, text, size, NULL, &problem) == BH_OK)
            ask(&words);
        else
            complain(problem.text);
        bh_value_deinit(&words);
    }
    g_free(text);
    stop_when_done();
    return over ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
    GIOChannel *channel = g_io_channel_unix_new(0);
    struct bh_pool_options options;
    struct bh_problem problem;

    if (argc != 2)
        return fprintf(stderr, "usage: glib-lines WORKER <LINES\n"), 2;
    bh_pool_options_init(&options);
    options.worker = argv[1];
    if (bh_pool_open(&pool, &options, &problem) != BH_OK)
        return fprintf(stderr, "glib-lines: %s\n", problem.text), 1;
    loop = g_main_loop_new(NULL, FALSE);
    g_io_channel_set_encoding(channel, NULL, NULL); /* what is no UTF-8 is the parser's to tell */
    g_io_channel_set_flags(channel, G_IO_FLAG_NONBLOCK, NULL);
    g_io_add_watch(channel, G_IO_IN | G_IO_HUP, on_input, NULL);
    g_unix_fd_add((gint)bh_pool_waitable(pool), G_IO_IN, on_completions, NULL);
    g_main_loop_run(loop);
    g_main_loop_unref(loop);
    g_io_channel_unref(channel);
    bh_pool_close(pool);
    return 0;
}
