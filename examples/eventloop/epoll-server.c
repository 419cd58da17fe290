/* SPDX-License-Identifier: MIT */
/*
 * A server with one thread: JSON lines over TCP in, calls to crashing workers, JSON lines out.
 *   epoll-server PORT WORKER          echo '["divide", 42, 0]' | nc -N 127.0.0.1 PORT
 *
 * One epoll set holds the listening socket, the clients and the pool's waitable: nothing waits. A
 * client that leaves is remembered until the answers to its requests have come.
 */
#include <bulkhead/bulkhead.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
    int fd;          /* -1: it has left */
    unsigned asked;  /* requests of its that are out */
    size_t length;   /* of the line so far */
    char line[8192]; /* one request */
};

static bh_pool *pool;
static int events;
static char listener, completions; /* their addresses tell them from clients */

static int watch(int fd, void *who)
{
    return epoll_ctl(events, EPOLL_CTL_ADD, fd,
                     &(struct epoll_event){.events = EPOLLIN, .data.ptr = who});
}

static void forget(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    if (client->asked == 0)
        free(client);
}

static void answer(const struct client *client, const bh_value *value)
{
    char *text;
    size_t length;

    if (client->fd < 0 || bh_json_write(value, BH_JSON_COMPACT, &text, &length) != BH_OK)
        return;
    text[length] = '\n'; /* instead of the NUL */
    if (send(client->fd, text, length + 1, MSG_NOSIGNAL | MSG_DONTWAIT) <= (ssize_t)length)
        shutdown(client->fd, SHUT_RDWR); /* it does not read: better no answer than half of one */
    bh_free(text);
}

/* ["method", argument…] @return NULL, or what is wrong with it */
static const char *ask(struct client *client, const bh_value *line)
{
    struct bh_request request = BH_REQUEST_INIT;
    const bh_value *words = line->as.items;

    if (line->type != BH_ARRAY || line->length == 0 || words[0].type != BH_STRING)
        return "expected [\"method\", argument...]";
    request.method = words[0].as.string; /* what was read, not viewed, ends with a NUL */
    request.arguments = words + 1;
    request.argument_count = line->length - 1;
    enum bh_refusal refusal = bh_pool_submit(pool, &request, NULL, client);
    client->asked += refusal == BH_REFUSAL_NONE;
    return refusal == BH_REFUSAL_NONE ? NULL : bh_refusal_name(refusal);
}

static void read_line(struct client *client, size_t length)
{
    struct bh_problem problem;
    bh_value line;

    int error = bh_json_read(&line, client->line, length, NULL, &problem);
    const char *wrong = error == BH_OK ? ask(client, &line) : problem.text;
    bh_value text = bh_value_view(wrong != NULL ? wrong : "");
    if (wrong != NULL)
        answer(client, &text);
    bh_value_deinit(&line);
}

static void read_client(struct client *client)
{
    char *end, *at = client->line + client->length;
    ssize_t got = recv(client->fd, at, sizeof client->line - client->length, 0);

    if (got <= 0) { /* also a line that is too long: there was no room */
        forget(client);
        return;
    }
    client->length += (size_t)got;
    while ((end = memchr(client->line, '\n', client->length)) != NULL) {
        read_line(client, (size_t)(end - client->line));
        client->length -= (size_t)(end + 1 - client->line);
        memmove(client->line, end + 1, client->length);
    }
}

static void read_completions(void)
{
    struct bh_completion done[64];
    size_t count = bh_pool_take(pool, done, 64, 0);

    for (size_t i = 0; i < count; i++) {
        struct client *client = done[i].context;
        bh_value value;
        if (bh_result_to_value(&done[i].result, &value) == BH_OK)
            answer(client, &value);
        bh_value_deinit(&value);
        bh_result_deinit(&done[i].result);
        if (--client->asked == 0 && client->fd < 0)
            forget(client);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct bh_pool_options options;
    struct bh_problem problem;
    struct epoll_event event;

    if (argc != 3 || atoi(argv[1]) <= 0)
        return fprintf(stderr, "usage: epoll-server PORT WORKER\n"), 2;
    bh_pool_options_init(&options);
    options.worker = argv[2];
    if (bh_pool_open(&pool, &options, &problem) != BH_OK)
        return fprintf(stderr, "epoll-server: %s\n", problem.text), 1;
    events = epoll_create1(EPOLL_CLOEXEC);
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 64) ||
        watch(fd, &listener) || watch((int)bh_pool_waitable(pool), &completions))
        return perror("epoll-server"), 1;
    while (epoll_wait(events, &event, 1, -1) >= 0) {
        struct client *client = event.data.ptr == &listener ? calloc(1, sizeof *client) : NULL;
        if (client != NULL && watch(client->fd = accept(fd, NULL, NULL), client) != 0)
            forget(client);
        if (event.data.ptr == &completions)
            read_completions();
        else if (event.data.ptr != &listener)
            read_client(event.data.ptr);
    }
}
