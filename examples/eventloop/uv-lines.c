/* SPDX-License-Identifier: MIT */
/*
 * The pool in a libuv loop: JSON lines on stdin, calls to crashing workers, JSON lines on stdout in
 * the order in which they end.
 *   echo '["divide", 42, 0]' | uv-lines WORKER
 *
 * The pool's waitable is one more uv_poll_t beside the loop's own handles. The loop ends by itself:
 * when the input is over and nothing is out, no handle is active.
 */
#include <bulkhead/bulkhead.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static bh_pool *pool;
static uv_poll_t completions;
static uv_pipe_t input;
static size_t outstanding;
static bool over;
static char line[8192]; /* so far */
static size_t length;

static void stop_when_done(void)
{
    if (over && outstanding == 0)
        uv_poll_stop(&completions);
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

static void on_completions(uv_poll_t *handle, int status, int events)
{
    struct bh_completion done[64];
    size_t count = bh_pool_take(pool, done, 64, 0);

    (void)handle, (void)status, (void)events;
    for (size_t i = 0; i < count; i++) {
        bh_value value;
        if (bh_result_to_value(&done[i].result, &value) == BH_OK)
            say(&value);
        bh_value_deinit(&value);
        bh_result_deinit(&done[i].result);
    }
    outstanding -= count;
    stop_when_done();
}

static void on_line(const char *text, size_t size)
{
    struct bh_problem problem;
    bh_value words;

    if (bh_json_read(&words, text, size, NULL, &problem) == BH_OK)
        ask(&words);
    else
        complain(problem.text);
    bh_value_deinit(&words);
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *room)
{
    (void)handle, (void)wanted;
    *room = uv_buf_init(line + length, (unsigned)(sizeof line - length));
}

static void on_input(uv_stream_t *stream, ssize_t got, const uv_buf_t *room)
{
    char *end;

    (void)room;
    length += got > 0 ? (size_t)got : 0;
    while ((end = memchr(line, '\n', length)) != NULL) {
        on_line(line, (size_t)(end - line));
        length -= (size_t)(end + 1 - line);
        memmove(line, end + 1, length);
    }
    if (got >= 0)
        return;
    over = true; /* also a line that is too long: there was no room */
    uv_close((uv_handle_t *)stream, NULL);
    stop_when_done();
}

int main(int argc, char **argv)
{
    uv_loop_t *loop = uv_default_loop();
    struct bh_pool_options options;
    struct bh_problem problem;

    if (argc != 2)
        return fprintf(stderr, "usage: ... | uv-lines WORKER\n"), 2;
    bh_pool_options_init(&options);
    options.worker = argv[1];
    if (bh_pool_open(&pool, &options, &problem) != BH_OK)
        return fprintf(stderr, "uv-lines: %s\n", problem.text), 1;
    uv_poll_init(loop, &completions, (int)bh_pool_waitable(pool));
    uv_poll_start(&completions, UV_READABLE, on_completions);
    uv_pipe_init(loop, &input, 0);
    if (uv_guess_handle(0) != UV_NAMED_PIPE || uv_pipe_open(&input, 0) != 0 ||
        uv_read_start((uv_stream_t *)&input, on_room, on_input) != 0)
        return fprintf(stderr, "uv-lines: stdin is no pipe\n"), 1;
    uv_run(loop, UV_RUN_DEFAULT);
    bh_pool_close(pool);
    return 0;
}
