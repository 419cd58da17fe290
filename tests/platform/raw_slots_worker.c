/* SPDX-License-Identifier: MIT */
/*
 * A worker made by hand from protocol.h that serves slots, and knows how to misbehave there. Each
 * method is a way to serve the slot that names it. Nothing of the library's worker side is in it.
 */
#include "platform/linux/protocol.h"

#include <bulkhead/value.h>

#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct bhl_request_half *request;
static struct bhl_reply_half *reply;
static uint64_t number; /* of the slot at hand */

/* ---- the path to the dispatcher ---- */

static const struct bhl_request_slot *asked(void)
{
    return &request->slot[number % BHL_SLOTS];
}

static struct bhl_reply_slot *answer(void)
{
    return &reply->slot[number % BHL_SLOTS];
}

static void *data(const void *half)
{
    return (unsigned char *)(uintptr_t)half + BHL_HEADER_BYTES +
           number % BHL_SLOTS * BHL_SLOT_BYTES;
}

static void ring(void)
{
    atomic_fetch_add(&reply->bell, 1);
    syscall(SYS_futex, &reply->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void commit(uint64_t serial)
{
    atomic_store(&reply->committed, serial);
    ring();
}

static void write_echo(void)
{
    answer()->serial = asked()->serial;
    answer()->status = BHL_REPLIED;
    answer()->length = asked()->length;
    memcpy(data(reply), data(request), asked()->length);
}

/* ---- what it can do ---- */

static void echo(void)
{
    write_echo();
    commit(asked()->serial);
}

/* Works until it is told to give up. */
static void patient(void)
{
    while (atomic_load(&request->cancel) != asked()->serial)
        usleep(100);
    echo();
}

static void hang(void)
{
    for (;;)
        pause();
}

static void crash(void)
{
    raise(SIGSEGV);
}

static void jump(void)
{
    write_echo();
    commit(asked()->serial + 1000);
    hang();
}

static void stale(void)
{
    commit(asked()->serial);
}

static void foreign(void)
{
    write_echo();
    answer()->serial++;
    commit(asked()->serial);
}

static void gives_back(void)
{
    write_echo();
    answer()->status = BHL_GIVEN_BACK;
    commit(asked()->serial);
}

static void too_long(void)
{
    write_echo();
    answer()->length = BHL_SLOT_BYTES + 8;
    commit(asked()->serial);
}

static void odd_status(void)
{
    write_echo();
    answer()->status = 77;
    commit(asked()->serial);
}

static void garbage(void)
{
    write_echo();
    memset(data(reply), 0xee, 64);
    answer()->length = 64;
    commit(asked()->serial);
}

static void no_segment(void)
{
    write_echo();
    answer()->status = BHL_OUTSIDE;
    reply->status = BHL_REPLIED;
    reply->length = 64;
    reply->segment = asked()->serial;
    reply->segment_bytes = 4096;
    reply->place = 0;
    commit(asked()->serial);
}

/* Says that it is at the next slot already. */
static void ahead(void)
{
    atomic_store(&reply->started, request->slot[(number + 1) % BHL_SLOTS].serial);
    hang();
}

/* Says that it is where nobody ever was. */
static void far_ahead(void)
{
    atomic_store(&reply->started, UINT64_MAX);
    hang();
}

static void rings(void)
{
    for (int i = 0; i < 100000; i++)
        ring();
    echo();
}

static const struct {
    const char *name;
    void (*run)(void);
} methods[] = {
    {"echo", echo},         {"patient", patient},     {"hang", hang},
    {"crash", crash},       {"jump", jump},           {"stale", stale},
    {"foreign", foreign},   {"back", gives_back},     {"too_long", too_long},
    {"status", odd_status}, {"garbage", garbage},     {"no_segment", no_segment},
    {"ahead", ahead},       {"far_ahead", far_ahead}, {"rings", rings},
};
#define METHODS (sizeof(methods) / sizeof(methods[0]))

/* ---- greeting and serving ---- */

static void greet(void)
{
    struct bhl_control hello = {
        .magic = BHL_MAGIC, .type = BHL_CONTROL_HELLO, .version = BHL_VERSION, .pid = getpid()};
    unsigned char *at = (unsigned char *)reply + BHL_HEADER_BYTES;
    bh_value table = bh_value_array();
    size_t size = 0;

    for (size_t i = 0; i < METHODS; i++) {
        bh_value entry = bh_value_map();
        bh_value text = bh_value_view(methods[i].name);
        if (bh_map_set(&entry, "name", &text) != BH_OK || bh_array_push(&table, &entry) != BH_OK)
            _exit(80);
    }
    if (bh_wire_size(&table, 1, NULL, &size) != BH_OK ||
        bh_wire_write(at, size, &table, 1) != BH_OK)
        _exit(81);
    bh_value_deinit(&table);
    hello.length = size;
    if (send(BHL_FD_CONTROL, &hello, sizeof(hello), 0) != (ssize_t)sizeof(hello))
        _exit(82);
}

static void serve_slot(void)
{
    uint64_t serial = asked()->serial;

    atomic_store(&reply->started, serial);
    if (atomic_load(&asked()->revoked) != serial) {
        methods[asked()->method].run();
        return;
    }
    answer()->serial = serial;
    answer()->status = BHL_GIVEN_BACK;
    commit(serial);
}

static void serve_single(uint64_t serial)
{
    atomic_store(&reply->started, serial);
    reply->status = BHL_REPLIED;
    reply->segment = 0;
    reply->length = request->length;
    memcpy((unsigned char *)reply + BHL_HEADER_BYTES,
           (const unsigned char *)request + BHL_HEADER_BYTES, request->length);
    commit(serial);
}

int main(int argc, char **argv)
{
    uint64_t last = 0;

    (void)argv;
    request = mmap(NULL, BHL_HEADER_BYTES, PROT_READ, MAP_SHARED, BHL_FD_REQUEST, 0);
    if (argc < 2 || request == MAP_FAILED || request->magic != BHL_MAGIC)
        return 70;
    uint64_t bytes = request->reply_bytes;
    request = mmap(NULL, request->bytes, PROT_READ, MAP_SHARED, BHL_FD_REQUEST, 0);
    reply = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, BHL_FD_REPLY, 0);
    if (request == MAP_FAILED || reply == MAP_FAILED)
        return 71;
    greet();
    for (;;) {
        uint32_t bell = atomic_load(&request->bell);
        uint64_t serial = atomic_load(&request->serial);
        if (atomic_load(&request->slots) > number) {
            serve_slot();
            number++;
        } else if (serial != last) {
            serve_single(last = serial);
        } else if (atomic_load(&request->quit) != 0) {
            return 0;
        } else {
            syscall(SYS_futex, &request->bell, FUTEX_WAIT, bell, NULL, NULL, 0);
        }
    }
}
