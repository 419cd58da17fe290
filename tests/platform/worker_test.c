/* SPDX-License-Identifier: MIT */
/*
 * The worker's side of the lane, against a dispatcher played by hand: start-up, requests, segments,
 * answers, cancel, and leaving in order. How workers die is in worker_fault_test.c.
 *
 * not-under: tsan
 */
#include "hand_lane.h"

/* ---- start-up -------------------------------------------------------------------------------- */

TEST(hello_announces_the_methods)
{
    struct hand hand = {0};
    const bh_value *table, *help;

    hand_ready(&hand, ODD, NULL);
    table = &hand.methods.as.items[0];
    CHECK_INT(table->type, BH_ARRAY);
    CHECK_INT(hand_method(&hand, "silent"), 0);
    help = bh_map_get(&table->as.items[hand_method(&hand, "who")], "help");
    CHECK(help != NULL && help->type == BH_STRING);
    CHECK_INT(help->length, strlen("says who it is"));
    CHECK_INT(hand.reply->started, 0);
    hand_end(&hand);
}

/* What the descriptor leads to in the worker, or "" when it is closed. */
static const char *descriptor(const struct hand *hand, int fd)
{
    static char target[256];
    char path[64];
    ssize_t length;

    snprintf(path, sizeof path, "/proc/%d/fd/%d", hand->pid, fd);
    length = readlink(path, target, sizeof target - 1);
    target[length < 0 ? 0 : length] = '\0';
    return target;
}

TEST(the_halves_are_not_left_open)
{
    struct hand hand = {0};

    hand_ready(&hand, MISHAPS, NULL);
    CHECK_STR(descriptor(&hand, 3), "");
    CHECK_STR(descriptor(&hand, 4), "");
    CHECK_CONTAINS(descriptor(&hand, 5), "socket:");
    hand_end(&hand);
}

/* Starts a worker that refuses to serve. */
static void refuses(struct hand *hand, const char *program, const char *argument, const char *text)
{
    const char *arguments[] = {argument, NULL};

    hand_start(hand, program, arguments);
    hand_wait_end(hand);
    CHECK_CONTAINS(hand->text, text);
    CHECK(WIFEXITED(hand->status));
    CHECK_INT(WEXITSTATUS(hand->status), 2);
    hand_end(hand);
}

TEST(another_protocol_version_is_refused)
{
    struct hand hand = {.version = 99};
    refuses(&hand, MISHAPS, NULL, "version 99 of the protocol");
}

TEST(another_workers_lane_is_refused)
{
    struct hand hand = {.cookie_in_half = 1};
    refuses(&hand, MISHAPS, NULL, "the lane of another worker");
}

TEST(a_method_twice_in_the_table_is_refused)
{
    struct hand hand = {0};
    refuses(&hand, ODD, "doubled", "method \"a\" is in the table twice");
}

TEST(a_method_without_handler_is_refused)
{
    struct hand hand = {0};
    refuses(&hand, ODD, "hollow", "method \"a\" has no handler");
}

TEST(a_method_name_that_is_not_utf8_is_refused)
{
    struct hand hand = {0};
    refuses(&hand, ODD, "garbled", "not UTF-8");
}

TEST(a_worker_struct_without_its_size_is_refused)
{
    struct hand hand = {0};
    refuses(&hand, ODD, "short", "BH_WORKER_INIT");
}

TEST(a_failing_init_decides_the_exit_code)
{
    struct hand hand = {0};
    const char *arguments[] = {"someone", "42", NULL};

    hand_start(&hand, ODD, arguments);
    hand_wait_end(&hand);
    CHECK(WIFEXITED(hand.status));
    CHECK_INT(WEXITSTATUS(hand.status), 42);
    CHECK_INT(hand.reply->exiting, 1);
    CHECK_INT(hand.reply->quitting, 0);
    hand_end(&hand);
}

TEST(a_failing_init_is_never_a_success)
{
    struct hand hand = {0};
    const char *arguments[] = {"someone", "256", NULL};

    hand_start(&hand, ODD, arguments);
    hand_wait_end(&hand);
    CHECK(WIFEXITED(hand.status));
    CHECK_INT(WEXITSTATUS(hand.status), 1);
    hand_end(&hand);
}

/* Runs a program as a person would. */
static char *by_hand(const char *program, const char *argument, int status)
{
    const char *const argv[] = {program, argument, NULL};
    char *out, *err;
    int got;

    CHECK(kit_run(argv, NULL, &out, &err, &got, DEADLINE_MS));
    CHECK_INT(got, status);
    CHECK_STR(status == 0 ? err : out, "");
    free(status == 0 ? err : out);
    return status == 0 ? out : err;
}

static void says(const char *program, const char *argument, int status, const char *text)
{
    char *said = by_hand(program, argument, status);

    CHECK_CONTAINS(said, text);
    free(said);
}

TEST(started_by_hand_it_says_how_to)
{
    says(MISHAPS, NULL, 2, "this is a Bulkhead worker");
    says(MISHAPS, "nonsense", 2, "bulkhead call --worker " MISHAPS);
    says(MISHAPS, "--help", 0, "echo(value...)");
    says(MISHAPS, "--version", 0, BH_VERSION);
    says(MISHAPS, "--methods", 0, "die(kind): segv bus fpe");
    says(MISHAPS, "--bulkhead=x", 2, "malformed argument");
    says(MISHAPS, "--bulkhead=x,1,2", 2, "descriptor 3");
}

/* ---- requests -------------------------------------------------------------------------------- */

TEST(a_call_is_answered)
{
    struct hand hand = {0};
    bh_value arguments[] = {bh_value_int64(-5), bh_value_view("text"), bh_value_null()};
    const bh_value *answer;

    hand_ready(&hand, MISHAPS, NULL);
    CHECK(bh_value_equal(hand_call(&hand, "echo", arguments, 1), &arguments[0]));
    answer = hand_call(&hand, "echo", arguments, 3);
    CHECK_INT(answer->type, BH_ARRAY);
    CHECK_INT(answer->length, 3);
    CHECK(bh_value_equal(&answer->as.items[1], &arguments[1]));
    CHECK_INT(hand.reply->started, 2);
    CHECK_INT(hand.reply->committed, 2);
    CHECK_INT(hand_call_int64(&hand, "pid", NULL, 0), hand.pid);
    hand_end(&hand);
}

TEST(thousands_of_calls)
{
    struct hand hand = {0};

    hand_ready(&hand, MISHAPS, NULL);
    for (int64_t i = 0; i < 5000; i++) {
        bh_value argument = bh_value_int64(i);
        CHECK_INT(hand_call_int64(&hand, "echo", &argument, 1), i);
    }
    hand_end(&hand);
}

TEST(a_handler_knows_its_call)
{
    struct hand hand = {0};
    const char *arguments[] = {"somebody", NULL};
    const char *text;
    size_t length;

    hand_ready(&hand, ODD, arguments);
    hand.serial = 999;
    CHECK_INT(bh_value_get_string(hand_call(&hand, "who", NULL, 0), &text, &length), BH_OK);
    CHECK_INT(length, strlen("who 1000 somebody"));
    CHECK_BYTES(text, "who 1000 somebody", length);
    hand_end(&hand);
}

/* Makes a segment that holds `count` 32-bit numbers, each 1, as arguments; sends it. */
static uint64_t send_numbers(struct hand *hand, size_t count, uint32_t transient)
{
    int32_t *ones = malloc(count * sizeof *ones);
    bh_value argument;
    size_t size;
    void *memory;
    int fd;

    CHECK(ones != NULL);
    for (size_t i = 0; i < count; i++)
        ones[i] = 1;
    argument = bh_value_view_i32(ones, count);
    CHECK_INT(bh_wire_size(&argument, 1, NULL, &size), BH_OK);
    fd = hand_memory("segment", size);
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    bh_wire_write(memory, size, &argument, 1);
    munmap(memory, size);
    free(ones);
    hand->request->segment = ++hand->segments;
    hand->request->segment_bytes = size;
    hand->request->transient = transient;
    hand_send_segment(hand, hand->segments, size, fd);
    close(fd);
    return size;
}

/* The next request's arguments are in a segment that was sent before. */
static void want_segment(struct hand *hand, uint64_t id, uint64_t bytes)
{
    hand->request->segment = id;
    hand->request->segment_bytes = bytes;
    hand->request->transient = 0;
}

static int64_t sum(struct hand *hand, uint64_t length)
{
    int64_t total;

    hand_publish_raw(hand, hand_method(hand, "sum"), length);
    CHECK(hand_wait(hand));
    CHECK_INT(bh_value_get_int64(hand_answer(hand), &total), BH_OK);
    return total;
}

/* Whether the worker has a memory file of this name mapped. */
static bool is_mapped(const struct hand *hand, const char *name)
{
    char path[64], line[512];
    bool found = false;
    FILE *maps;

    snprintf(path, sizeof path, "/proc/%d/maps", hand->pid);
    maps = fopen(path, "re");
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL)
        found = found || strstr(line, name) != NULL;
    fclose(maps);
    return found;
}

static bool is_unmapped(void *hand)
{
    return !is_mapped(hand, "memfd:segment");
}

TEST(large_arguments_come_in_a_segment_that_stays_mapped)
{
    struct hand hand = {0};
    uint64_t length;

    hand_ready(&hand, MISHAPS, NULL);
    length = send_numbers(&hand, 1000000, 0);
    CHECK_INT(sum(&hand, length), 1000000);
    CHECK_INT(sum(&hand, length), 1000000); /* not sent again */
    CHECK(is_mapped(&hand, "memfd:segment"));
    send_numbers(&hand, 3, 0);
    length = send_numbers(&hand, 2000, 0); /* the one before was never used */
    CHECK_INT(sum(&hand, length), 2000);
    CHECK_INT(hand_call_int64(&hand, "pid", NULL, 0), hand.pid);
    hand_end(&hand);
}

TEST(a_kept_segment_outlives_a_transient_one)
{
    struct hand hand = {0};
    uint64_t length, again;

    hand_ready(&hand, MISHAPS, NULL);
    length = send_numbers(&hand, 3000, 0);
    CHECK_INT(sum(&hand, length), 3000);
    again = send_numbers(&hand, 500000, 1);
    CHECK_INT(sum(&hand, again), 500000);
    want_segment(&hand, 1, length);
    CHECK_INT(sum(&hand, length), 3000);

    /* Sent, not used, then wanted after all. */
    length = send_numbers(&hand, 4000, 0);
    again = send_numbers(&hand, 500000, 1);
    CHECK_INT(sum(&hand, again), 500000);
    want_segment(&hand, 3, length);
    CHECK_INT(sum(&hand, length), 4000);
    hand_end(&hand);
}

TEST(a_transient_segment_is_unmapped)
{
    struct hand hand = {0};
    uint64_t length;

    hand_ready(&hand, MISHAPS, NULL);
    length = send_numbers(&hand, 500000, 1);
    CHECK_INT(sum(&hand, length), 500000);
    CHECK(kit_wait_until(is_unmapped, &hand, DEADLINE_MS));
    hand_end(&hand);
}

/* Takes the reply's segment and returns its bytes; the descriptor is closed. */
static unsigned char *take_segment(struct hand *hand)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    size_t size = hand->reply->segment_bytes;
    unsigned char *bytes = malloc(size);
    struct bhl_control message;
    bool came;
    int fd = hand_receive(hand, &message, &came);

    CHECK(came && fd >= 0);
    CHECK_INT(message.type, BHL_CONTROL_SEGMENT);
    CHECK_INT(message.id, hand->reply->segment);
    CHECK_INT(message.bytes, size);
    CHECK_INT(fcntl(fd, F_GET_SEALS) & seals, seals);
    CHECK_INT(pread(fd, bytes, size, 0), size);
    close(fd);
    return bytes;
}

TEST(a_large_reply_lies_in_a_sealed_segment_beside_its_message)
{
    struct hand hand = {0};
    bh_value size = bh_value_int64(1 << 20), values;
    unsigned char *bytes;
    uint32_t header[2];
    uint64_t offset;

    hand_ready(&hand, MISHAPS, NULL);
    hand_publish(&hand, "blob", &size, 1);
    CHECK(hand_wait(&hand));
    CHECK_INT(hand.reply->status, BHL_REPLIED);
    CHECK_INT(hand.reply->mails, 1);
    CHECK(hand.reply->place == BHL_IN_HALF);
    CHECK_INT(hand.reply->length, 16);
    memcpy(header, (const char *)hand.reply + BHL_HEADER_BYTES, 8);
    memcpy(&offset, (const char *)hand.reply + BHL_HEADER_BYTES + 8, 8);
    CHECK_INT(header[0], 0x10000 | BH_BYTES);
    CHECK_INT(header[1], 1 << 20);
    CHECK_INT(offset % 64, 0);
    CHECK(offset + (1 << 20) <= hand.reply->segment_bytes);
    CHECK_INT(bh_wire_view(&values, (const char *)hand.reply + BHL_HEADER_BYTES, 16, NULL, NULL),
              BH_E_SYNTAX); /* by itself the message has nothing beside it */
    bytes = take_segment(&hand);
    for (unsigned i = 0; i < 1 << 20; i += 4093)
        CHECK_INT(bytes[offset + i], (i ^ i >> 8 ^ i >> 16) & 255);
    free(bytes);
    CHECK_INT(hand_call_int64(&hand, "pid", NULL, 0), hand.pid); /* inline again */
    hand_end(&hand);
}

TEST(a_reply_above_the_limit_fails_the_request)
{
    struct hand hand = {.max_reply = 100000};
    bh_value size = bh_value_int64(200000);

    hand_ready(&hand, MISHAPS, NULL);
    hand_publish(&hand, "blob", &size, 1);
    CHECK(hand_wait(&hand));
    CHECK_CONTAINS(hand_failure(&hand, BH_E_TOO_LARGE), "the pool's limit of 100000");
    hand_end(&hand);
}

TEST(a_file_size_limit_does_not_kill_a_worker_with_a_large_reply)
{
    struct hand hand = {.file_limit = 65536};
    bh_value size = bh_value_int64(200000);

    hand_ready(&hand, MISHAPS, NULL);
    hand_publish(&hand, "blob", &size, 1);
    CHECK(hand_wait(&hand));
    CHECK_CONTAINS(hand_failure(&hand, BH_E_TOO_LARGE), "RLIMIT_FSIZE");
    hand_end(&hand);
}

TEST(a_lost_control_socket_fails_large_replies_only)
{
    struct hand hand = {0};

    hand_ready(&hand, ODD, NULL);
    hand_publish(&hand, "steal-control", NULL, 0);
    CHECK(hand_wait(&hand));
    CHECK_CONTAINS(hand_failure(&hand, BH_E_SYSTEM), "control socket was closed");
    CHECK_INT(hand_call(&hand, "silent", NULL, 0)->type, BH_NULL);
    hand_end(&hand);
}

/* ---- answers --------------------------------------------------------------------------------- */

TEST(no_answer_is_null)
{
    struct hand hand = {0};

    hand_ready(&hand, ODD, NULL);
    CHECK_INT(hand_call(&hand, "silent", NULL, 0)->type, BH_NULL);
    hand_end(&hand);
}

TEST(only_the_first_answer_counts)
{
    struct hand hand = {0};

    hand_ready(&hand, ODD, NULL);
    CHECK_INT(hand_call_int64(&hand, "twice", NULL, 0), 1);
    kill(hand.pid, SIGKILL);
    hand_wait_end(&hand);
    CHECK_CONTAINS(hand.text, "twice: BH_E_STATE BH_E_STATE");
    hand_end(&hand);
}

TEST(a_reply_that_cannot_be_sent_is_not_taken_for_none)
{
    struct hand hand = {0};

    hand_ready(&hand, ODD, NULL);
    hand_publish(&hand, "bad-reply", NULL, 0);
    CHECK(hand_wait(&hand));
    CHECK_CONTAINS(hand_failure(&hand, BH_E_UTF8), "the reply could not be sent");
    hand_end(&hand);
}

TEST(a_failure_has_code_and_text)
{
    struct hand hand = {0};
    bh_value arguments[] = {bh_value_int64(INT32_MIN), bh_value_view("it is \xc3\xbc")};

    hand_ready(&hand, MISHAPS, NULL);
    hand_publish(&hand, "fail", arguments, 2);
    CHECK(hand_wait(&hand));
    CHECK_STR(hand_failure(&hand, INT32_MIN), "it is \xc3\xbc");
    hand_end(&hand);
}

TEST(a_failures_text_becomes_utf8_and_is_cut_at_a_character)
{
    struct hand hand = {0};
    const char *text;

    hand_ready(&hand, ODD, NULL);
    hand_publish(&hand, "long-fail", NULL, 0);
    CHECK(hand_wait(&hand));
    CHECK_INT(hand.reply->length, 4094);
    text = hand_failure(&hand, -7);
    CHECK_BYTES(text, "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdzx", 12);
    CHECK_INT(text[4093], 'x');
    hand_end(&hand);
}

TEST(a_nul_ends_a_failures_text)
{
    struct hand hand = {0};

    hand_ready(&hand, ODD, NULL);
    hand_publish(&hand, "nul-fail", NULL, 0);
    CHECK(hand_wait(&hand));
    CHECK_INT(hand.reply->length, 6);
    CHECK_STR(hand_failure(&hand, 1), "before");
    hand_end(&hand);
}

TEST(output_is_out_before_the_answer_is)
{
    struct hand hand = {0};
    char text[8] = "";

    hand_ready(&hand, ODD, NULL);
    hand_call(&hand, "print", NULL, 0);
    fcntl(hand.output, F_SETFL, O_NONBLOCK);
    CHECK_INT(read(hand.output, text, sizeof text - 1), 7);
    CHECK_STR(text, "printed");
    hand_end(&hand);
}

/* ---- progress and cancel --------------------------------------------------------------------- */

TEST(progress_is_seen)
{
    struct hand hand = {0};
    bh_value arguments[] = {bh_value_int64(10), bh_value_int64(0)};

    hand_ready(&hand, MISHAPS, NULL);
    CHECK_INT(hand_call_int64(&hand, "progress", arguments, 2), 10);
    CHECK_INT(hand.reply->progress, 11);
    CHECK_INT(hand.reply->progress_done, 10);
    CHECK_INT(hand.reply->progress_total, 10);
    hand_call(&hand, "pid", NULL, 0);
    CHECK_INT(hand.reply->progress, 11);
    CHECK_INT(hand.reply->progress_done, 0);
    hand_end(&hand);
}

static bool is_under_way(void *hand)
{
    return ((struct hand *)hand)->reply->started == ((struct hand *)hand)->serial;
}

TEST(cancel_reaches_its_request_only)
{
    struct hand hand = {0};
    bh_value ms = bh_value_int64(60000);

    hand_ready(&hand, MISHAPS, NULL);
    hand.request->cancel = 2;
    CHECK_INT(hand_call(&hand, "sleep", (bh_value[]){bh_value_int64(1)}, 1)->type, BH_INT64);
    hand.request->cancel = 1;
    hand_publish(&hand, "sleep", &ms, 1);
    CHECK(kit_wait_until(is_under_way, &hand, DEADLINE_MS));
    hand.request->cancel = 2;
    CHECK(hand_wait(&hand));
    CHECK_STR(hand_failure(&hand, 2), "sleep: cancelled");
    hand_end(&hand);
}

/* ---- leaving --------------------------------------------------------------------------------- */

/* The marks of an orderly end. */
static void check_left(struct hand *hand, int status)
{
    CHECK(WIFEXITED(hand->status));
    CHECK_INT(WEXITSTATUS(hand->status), status);
    CHECK_INT(hand->reply->quitting, 1);
    CHECK_INT(hand->reply->exiting, 1);
    CHECK_INT(hand->reply->fault.state, 0);
}

TEST(quit_runs_fini)
{
    struct hand hand = {0};

    hand_ready(&hand, ODD, NULL);
    hand_call(&hand, "silent", NULL, 0);
    CHECK_INT(hand.reply->quitting, 0);
    hand.request->quit = 1;
    hand_ring(&hand);
    hand_wait_end(&hand);
    check_left(&hand, 0);
    CHECK_CONTAINS(hand.text, "fini nobody");
    hand_end(&hand);
}

TEST(quit_comes_after_the_request_at_hand)
{
    struct hand hand = {0};
    bh_value ms = bh_value_int64(30);

    hand_ready(&hand, MISHAPS, NULL);
    hand_publish(&hand, "sleep", &ms, 1);
    hand.request->quit = 1;
    hand_ring(&hand);
    CHECK(hand_wait(&hand));
    CHECK_INT(hand_answer(&hand)->as.int64, 30);
    hand_wait_end(&hand);
    check_left(&hand, 0);
    hand_end(&hand);
}

TEST(an_idle_worker_leaves)
{
    struct hand hand = {0};
    const char *arguments[] = {"impatient", NULL};

    hand_ready(&hand, ODD, arguments);
    hand_wait_end(&hand);
    check_left(&hand, 0);
    CHECK_CONTAINS(hand.text, "fini impatient");
    hand_end(&hand);
}

TEST(a_request_for_a_worker_that_leaves_never_starts)
{
    struct hand hand = {0};

    hand_ready(&hand, ODD, NULL);
    hand.request->quit = 1;
    hand_ring(&hand);
    hand_wait_end(&hand);
    hand_publish(&hand, "silent", NULL, 0);
    CHECK_INT(hand.reply->started, 0);
    hand_end(&hand);
}

TEST(the_worker_dies_with_its_launcher)
{
    int tube[2];
    int pid = 0;
    pid_t launcher;

    CHECK_INT(pipe2(tube, O_CLOEXEC), 0);
    launcher = fork();
    if (launcher == 0) {
        struct hand hand = {0};
        hand_ready(&hand, MISHAPS, NULL);
        CHECK(write(tube[1], &hand.pid, sizeof hand.pid) == (ssize_t)sizeof hand.pid);
        _exit(0);
    }
    CHECK_INT(read(tube[0], &pid, sizeof pid), sizeof pid);
    CHECK(kit_pid_gone(pid, DEADLINE_MS));
    waitpid(launcher, NULL, 0);
    close(tube[0]);
    close(tube[1]);
}

/* ---- a dispatcher that is broken ------------------------------------------------------------- */

static void complains(struct hand *hand, const char *text)
{
    CHECK(!hand_wait(hand));
    CHECK(WIFEXITED(hand->status));
    CHECK_INT(WEXITSTATUS(hand->status), 70);
    CHECK_INT(hand->reply->exiting, 1);
    CHECK_CONTAINS(hand->text, text);
    hand_end(hand);
}

TEST(an_unknown_method_number_ends_the_worker)
{
    struct hand hand = {0};

    hand_ready(&hand, MISHAPS, NULL);
    hand_publish_raw(&hand, 1000, 0);
    complains(&hand, "there is no method number 1000");
}

TEST(malformed_arguments_end_the_worker)
{
    struct hand hand = {0};

    hand_ready(&hand, MISHAPS, NULL);
    memset((char *)hand.request + BHL_HEADER_BYTES, 0xee, 64);
    hand_publish_raw(&hand, 0, 64);
    complains(&hand, "malformed arguments: byte ");
}

TEST(arguments_beyond_the_half_end_the_worker)
{
    struct hand hand = {0};

    hand_ready(&hand, MISHAPS, NULL);
    hand_publish_raw(&hand, 0, HALF_BYTES);
    complains(&hand, "do not fit into the lane");
}

TEST(a_segment_that_never_came_ends_the_worker)
{
    struct hand hand = {0};

    hand_ready(&hand, MISHAPS, NULL);
    hand.request->segment = 9;
    hand.request->segment_bytes = 100000;
    hand_publish_raw(&hand, 0, 80000);
    complains(&hand, "segment 9 did not come");
}

/* ---- bulkhead-host --------------------------------------------------------------------------- */

TEST(the_host_serves_a_plugin)
{
    struct hand hand = {0};
    const char *arguments[] = {PLUGIN, ",", NULL};
    bh_value text = bh_value_view("a b,c,,d");

    hand_ready(&hand, HOST, arguments);
    CHECK_INT(hand_call_int64(&hand, "words", &text, 1), 3);
    hand_end(&hand);
}

TEST(the_host_says_what_is_wrong_with_a_plugin)
{
    struct hand hand = {0}, other = {0};

    refuses(&hand, HOST, "/nowhere/plugin.so", "cannot load /nowhere/plugin.so: ");
    refuses(&other, HOST, NULL, "the first argument must be a plug-in");
    says(HOST, "libc.so.6", 2, "cannot load libc.so.6: ");
    says(HOST, BH_TEST_BIN_DIR "/../lib/libbulkhead.so", 2, "does not export \"bulkhead_plugin\"");
    says(HOST, "--help", 0, "usage: bulkhead-host PLUGIN");
    says(HOST, "--version", 0, "bulkhead-host " BH_VERSION);
    says(HOST, NULL, 2, "usage: bulkhead-host PLUGIN");
    says(HOST, PLUGIN, 2, "this is a Bulkhead worker");
}
