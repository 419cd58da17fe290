/* SPDX-License-Identifier: MIT */
/*
 * How workers die, and what they leave behind about it: wait status, fault record, exiting mark.
 *
 * not-under: tsan
 */
#include "hand_lane.h"

#include "platform/linux/registers.h"

#include <ucontext.h>

/* The value of a register in a fault record. */
static uint64_t register_named(const struct bhl_fault *fault, const char *name)
{
    static const char *const names[] = {
#define NAME(text, field) text,
        BHL_REGISTER_LIST(NAME)
#undef NAME
    };

    CHECK_INT(fault->register_count, sizeof names / sizeof *names);
    for (uint32_t i = 0; i < fault->register_count; i++) {
        if (strcmp(names[i], name) == 0)
            return fault->registers[i];
    }
    FAIL("no register %s", name);
}

/* The wait status and the record say the same. */
static const struct bhl_fault *check_signal(const struct hand *hand, int signal)
{
    const struct bhl_fault *fault = &hand->reply->fault;

    if (!WIFSIGNALED(hand->status) || WTERMSIG(hand->status) != signal)
        FAIL("status %#x instead of signal %d: %s", (unsigned)hand->status, signal, hand->text);
    CHECK_INT(fault->state, BHL_FAULT_COMPLETE);
    CHECK_INT(fault->signal, signal);
    CHECK_INT(fault->syscall, signal == SIGSYS ? fault->syscall : -1);
    CHECK_INT(hand->reply->exiting, 0);
    CHECK_INT(hand->reply->quitting, 0);
    CHECK_INT(hand->reply->started, hand->serial);
    return fault;
}

/* A fault of the processor's on the main thread. */
static const struct bhl_fault *check_fault(const struct hand *hand, int signal)
{
    const struct bhl_fault *fault = check_signal(hand, signal);

    CHECK(fault->signal_code > 0);
    CHECK_INT(fault->thread_id, hand->pid);
    CHECK_INT(fault->sender_pid, 0);
    CHECK_INT(fault->self, 0);
    return fault;
}

TEST(segv)
{
    struct hand hand = {0};
    const struct bhl_fault *fault;
    bh_value address = bh_value_int64(0xbad0);

    hand_ready(&hand, ODD, NULL);
    hand_die(&hand, "fault", &address, 1);
    fault = check_fault(&hand, SIGSEGV);
    CHECK_INT(fault->signal_code, SEGV_MAPERR);
    CHECK_INT(fault->address, 0xbad0);
    CHECK_INT(fault->stack_overflow, 0);
    CHECK(fault->instruction != 0 && fault->stack_pointer != 0);
#if defined(__x86_64__)
    CHECK_INT(register_named(fault, "rip"), fault->instruction);
    CHECK_INT(register_named(fault, "rsp"), fault->stack_pointer);
#elif defined(__aarch64__)
    CHECK_INT(register_named(fault, "pc"), fault->instruction);
    CHECK_INT(register_named(fault, "sp"), fault->stack_pointer);
#endif
    hand_end(&hand);
}

TEST(null_pointer)
{
    struct hand hand = {0};

    hand_die_by(&hand, "segv");
    CHECK_INT(check_fault(&hand, SIGSEGV)->address, 0);
    hand_end(&hand);
}

TEST(bus_error_of_a_truncated_file)
{
    struct hand hand = {0};
    const struct bhl_fault *fault;

    hand_die_by(&hand, "bus");
    fault = check_fault(&hand, SIGBUS);
    CHECK_INT(fault->signal_code, BUS_ADRERR);
    CHECK(fault->address != 0);
    CHECK_INT(fault->stack_overflow, 0);
    hand_end(&hand);
}

TEST(division_by_zero)
{
#if defined(__x86_64__)
    struct hand hand = {0};
    const struct bhl_fault *fault;

    hand_die_by(&hand, "fpe");
    fault = check_fault(&hand, SIGFPE);
    CHECK_INT(fault->signal_code, FPE_INTDIV);
    CHECK_INT(fault->address, fault->instruction);
    hand_end(&hand);
#else
    SKIP("this processor does not mind");
#endif
}

TEST(illegal_instruction)
{
    struct hand hand = {0};
    const struct bhl_fault *fault;

    hand_die_by(&hand, "ill");
    fault = check_fault(&hand, SIGILL);
    CHECK_INT(fault->address, fault->instruction);
    hand_end(&hand);
}

/* Running the instruction again would step over it. */
TEST(trap)
{
    struct hand hand = {0};

    hand_ready(&hand, ODD, NULL);
    hand_die(&hand, "trap", NULL, 0);
    check_signal(&hand, SIGTRAP);
    hand_end(&hand);
}

TEST(fault_in_another_thread)
{
    struct hand hand = {0};
    const struct bhl_fault *fault;

    hand_die_by(&hand, "thread");
    fault = check_signal(&hand, SIGSEGV);
    CHECK(fault->thread_id != 0 && fault->thread_id != (uint64_t)hand.pid);
    CHECK_INT(fault->stack_overflow, 0);
    CHECK_INT(fault->address, 0);
    hand_end(&hand);
}

/* All threads at once: one record, whole, and the right end. */
TEST(a_crowd_of_faults)
{
    struct hand hand = {0};
    const struct bhl_fault *fault;

    hand_ready(&hand, ODD, NULL);
    hand_die(&hand, "crowd", NULL, 0);
    fault = check_signal(&hand, SIGSEGV);
    CHECK_INT(fault->address, 16);
    hand_end(&hand);
}

TEST(stack_overflow_of_the_main_thread)
{
    struct hand hand = {0};
    const struct bhl_fault *fault;

    hand_die_by(&hand, "stack");
    fault = check_fault(&hand, SIGSEGV);
    CHECK_INT(fault->stack_overflow, 1);
    hand_end(&hand);
}

TEST(stack_overflow_by_one_large_frame)
{
    struct hand hand = {0};

    hand_ready(&hand, ODD, NULL);
    hand_die(&hand, "big-frame", NULL, 0);
    CHECK_INT(check_fault(&hand, SIGSEGV)->stack_overflow, 1);
    hand_end(&hand);
}

TEST(stack_overflow_of_a_thread_that_entered)
{
    struct hand hand = {0};
    bh_value known = bh_value_int64(1);
    const struct bhl_fault *fault;

    hand_ready(&hand, ODD, NULL);
    hand_die(&hand, "thread-overflow", &known, 1);
    fault = check_signal(&hand, SIGSEGV);
    CHECK_INT(fault->stack_overflow, 1);
    CHECK(fault->thread_id != (uint64_t)hand.pid);
    hand_end(&hand);
}

/* Nobody can write a record on a stack that is full; the signal still tells. */
TEST(stack_overflow_of_a_thread_that_did_not)
{
    struct hand hand = {0};
    bh_value known = bh_value_int64(0);

    if (getenv("BH_BIN") != NULL && kit_slowdown() > 1)
        SKIP("sanitizers give each thread an alternate stack");
    hand_ready(&hand, ODD, NULL);
    hand_die(&hand, "thread-overflow", &known, 1);
    CHECK(WIFSIGNALED(hand.status));
    CHECK_INT(WTERMSIG(hand.status), SIGSEGV);
    CHECK_INT(hand.reply->fault.state, 0);
    hand_end(&hand);
}

TEST(threads_come_and_go)
{
    struct hand hand = {0};

    hand_ready(&hand, ODD, NULL);
    CHECK_INT(hand_call_int64(&hand, "threads", NULL, 0), 1);
    hand_end(&hand);
}

TEST(abort_is_its_own)
{
    struct hand hand = {0};
    const struct bhl_fault *fault;

    hand_die_by(&hand, "abort");
    fault = check_signal(&hand, SIGABRT);
    CHECK_INT(fault->self, 1);
    CHECK_INT(fault->sender_pid, hand.pid);
    CHECK_INT(fault->thread_id, hand.pid);
    CHECK_INT(fault->address, 0);
    hand_end(&hand);
}

TEST(double_free_aborts_and_says_so)
{
    struct hand hand = {0};

    hand_die_by(&hand, "double-free");
    CHECK_INT(check_signal(&hand, SIGABRT)->self, 1);
    CHECK_CONTAINS(hand.text, "double");
    hand_end(&hand);
}

TEST(the_sender_of_a_signal_is_known)
{
    static const int signals[] = {SIGTERM, SIGQUIT, SIGHUP, SIGINT, SIGXCPU, SIGSEGV, SIGABRT};

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct hand hand = {0};
        const struct bhl_fault *fault;

        hand_ready(&hand, MISHAPS, NULL);
        kill(hand.pid, signals[i]);
        hand_wait_end(&hand);
        fault = check_signal(&hand, signals[i]);
        CHECK_INT(fault->sender_pid, getpid());
        CHECK_INT(fault->sender_uid, getuid());
        CHECK_INT(fault->self, 0);
        CHECK_INT(fault->address, 0);
        hand_end(&hand);
    }
}

TEST(a_signal_to_itself)
{
    struct hand hand = {0};
    const struct bhl_fault *fault;

    hand_die_by(&hand, "term");
    fault = check_signal(&hand, SIGTERM);
    CHECK_INT(fault->self, 1);
    CHECK_INT(fault->sender_pid, hand.pid);
    hand_end(&hand);
}

TEST(kill_leaves_no_record)
{
    struct hand hand = {0};

    hand_die_by(&hand, "kill");
    CHECK(WIFSIGNALED(hand.status));
    CHECK_INT(WTERMSIG(hand.status), SIGKILL);
    CHECK_INT(hand.reply->fault.state, 0);
    hand_end(&hand);
}

TEST(a_forbidden_system_call)
{
    struct hand hand = {0};
    const struct bhl_fault *fault;

    hand_ready(&hand, ODD, NULL);
    hand_publish(&hand, "forbidden", NULL, 0);
    if (hand_wait(&hand))
        SKIP("no seccomp here");
    fault = check_signal(&hand, SIGSYS);
    CHECK_INT(fault->syscall, SYS_sethostname);
    hand_end(&hand);
}

/* ---- exit ------------------------------------------------------------------------------------ */

TEST(exit_leaves_its_mark)
{
    struct hand hand = {0};

    hand_die_by(&hand, "exit");
    CHECK(WIFEXITED(hand.status));
    CHECK_INT(WEXITSTATUS(hand.status), 3);
    CHECK_INT(hand.reply->exiting, 1);
    CHECK_INT(hand.reply->quitting, 0);
    CHECK_INT(hand.reply->fault.state, 0);
    hand_end(&hand);
}

TEST(exit_at_once_leaves_none)
{
    struct hand hand = {0};

    hand_die_by(&hand, "_exit");
    CHECK(WIFEXITED(hand.status));
    CHECK_INT(WEXITSTATUS(hand.status), 4);
    CHECK_INT(hand.reply->exiting, 0);
    hand_end(&hand);
}

/* ---- mishaps that are no deaths -------------------------------------------------------------- */

TEST(out_of_memory_is_survived_where_malloc_says_so)
{
    struct hand hand = {.memory_limit = (uint64_t)512 << 20};
    bh_value kind = bh_value_view("oom");

    if (kit_slowdown() > 1)
        SKIP("sanitizers need more address space than the limit leaves");
    hand_ready(&hand, MISHAPS, NULL);
    hand_publish(&hand, "die", &kind, 1);
    CHECK(hand_wait(&hand));
    CHECK_STR(hand_failure(&hand, 2), "die: survived \"oom\"");
    hand_end(&hand);
}

static char state_of(int pid)
{
    char path[64], line[512];
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    file = fopen(path, "re");
    CHECK(file != NULL && fgets(line, sizeof line, file) != NULL);
    fclose(file);
    return strrchr(line, ')')[2];
}

static bool is_stopped(void *hand)
{
    return state_of(((struct hand *)hand)->pid) == 'T';
}

static bool is_asleep(void *hand)
{
    return state_of(((struct hand *)hand)->pid) == 'S';
}

static bool has_only(void *hand)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/fd/0", ((struct hand *)hand)->pid);
    return access(path, F_OK) != 0;
}

/* A worker in a state that only a kill ends. */
static void lasts(const char *kind, bool (*shows)(void *hand))
{
    struct hand hand = {0};
    bh_value argument = bh_value_view(kind);

    hand_ready(&hand, MISHAPS, NULL);
    hand_publish(&hand, "die", &argument, 1);
    CHECK(kit_wait_until(shows, &hand, DEADLINE_MS));
    kill(hand.pid, SIGTERM);
    CHECK(shows(&hand));
    kill(hand.pid, SIGKILL);
    hand_wait_end(&hand);
    CHECK_INT(WTERMSIG(hand.status), SIGKILL);
    CHECK_INT(hand.reply->committed, 0);
    hand_end(&hand);
}

static bool ignores_term(void *hand)
{
    char path[64], line[256];
    unsigned long long ignored = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", ((struct hand *)hand)->pid);
    file = fopen(path, "re");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL)
        sscanf(line, "SigIgn: %llx", &ignored);
    fclose(file);
    return (ignored >> (SIGTERM - 1) & 1) != 0 && is_asleep(hand);
}

TEST(hang)
{
    lasts("hang", ignores_term);
}

TEST(stop)
{
    lasts("stop", is_stopped);
}

TEST(close_fds)
{
    struct hand hand = {0};
    bh_value argument = bh_value_view("close-fds");

    hand_ready(&hand, MISHAPS, NULL);
    hand_publish(&hand, "die", &argument, 1);
    CHECK(kit_wait_until(has_only, &hand, DEADLINE_MS));
    CHECK_INT(state_of(hand.pid) == 'Z', 0);
    hand_end(&hand);
}

TEST(flood)
{
    struct hand hand = {0};
    bh_value argument = bh_value_view("flood");
    char text[4096];

    hand_ready(&hand, MISHAPS, NULL);
    hand_publish(&hand, "die", &argument, 1);
    for (size_t total = 0; total < (1 << 20);) {
        ssize_t got = read(hand.output, text, sizeof text);
        CHECK(got > 0);
        total += (size_t)got;
    }
    hand_end(&hand);
}

TEST(fork_leaves_a_process_behind)
{
    struct hand hand = {0};
    int left[8];

    hand_die_by(&hand, "fork");
    check_signal(&hand, SIGSEGV);
    CHECK_INT(kit_descendants(left, 8), 1);
    kill(left[0], SIGKILL);
    CHECK(kit_pid_gone(left[0], DEADLINE_MS));
    hand_end(&hand);
}

/* ---- when ------------------------------------------------------------------------------------ */

TEST(a_fault_at_start_is_recorded)
{
    struct hand hand = {0};
    const char *arguments[] = {"--die-at-start=segv", NULL};

    hand_start(&hand, MISHAPS, arguments);
    hand_wait_end(&hand);
    check_fault(&hand, SIGSEGV);
    CHECK_INT(hand.reply->started, 0);
    hand_end(&hand);
}

TEST(a_fault_between_requests_is_recorded)
{
    struct hand hand = {0};
    const char *arguments[] = {"--die-idle", "fpe", NULL};

    hand_ready(&hand, MISHAPS, arguments);
    hand_publish(&hand, "pid", NULL, 0);
    CHECK(hand_wait(&hand)); /* the reply was on its way before */
    CHECK_INT(hand_answer(&hand)->as.int64, hand.pid);
    hand_wait_end(&hand);
    check_signal(&hand, SIGFPE);
    CHECK_INT(hand.reply->committed, 1);
    hand_end(&hand);
}

TEST(an_unknown_kind_of_death)
{
    struct hand hand = {0}, other = {0};
    const char *arguments[] = {"--die-idle", "boredom", NULL};
    bh_value kind = bh_value_view("boredom");

    hand_start(&hand, MISHAPS, arguments);
    hand_wait_end(&hand);
    CHECK(WIFEXITED(hand.status) && WEXITSTATUS(hand.status) == 2);
    CHECK_CONTAINS(hand.text, "no such kind \"boredom\"; there are: segv bus");
    hand_end(&hand);

    hand_ready(&other, MISHAPS, NULL);
    hand_publish(&other, "die", &kind, 1);
    CHECK(hand_wait(&other));
    CHECK_CONTAINS(hand_failure(&other, 1), "close-fds flood");
    hand_end(&other);
}

/* ---- children -------------------------------------------------------------------------------- */

/* Calls a method that does something in a forked child; the worker is none the worse for it. */
static int child_status(struct hand *hand, const char *method)
{
    int status;

    hand_ready(hand, ODD, NULL);
    status = (int)hand_call_int64(hand, method, NULL, 0);
    CHECK_INT(hand->reply->exiting, 0);
    CHECK_INT(hand->reply->fault.state, 0);
    CHECK_INT(hand->reply->progress, 0);
    CHECK_INT(hand_call(hand, "silent", NULL, 0)->type, BH_NULL);
    return status;
}

TEST(a_forked_child_that_exits_leaves_no_mark)
{
    struct hand hand = {0};
    int status = child_status(&hand, "fork-exit");

    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    hand_end(&hand);
}

TEST(a_forked_child_that_faults_leaves_no_record)
{
    struct hand hand = {0};
    int status = child_status(&hand, "fork-fault");

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    hand_end(&hand);
}

TEST(a_forked_child_cannot_answer)
{
    struct hand hand = {0};
    int status = child_status(&hand, "fork-answer");

    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 6);
    hand_end(&hand);
}

TEST(a_forked_child_that_returns_from_its_handler_is_ended)
{
    struct hand hand = {0};
    int status = child_status(&hand, "fork-return");

    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 70);
    hand_end(&hand);
}

/* ---- libraries with handlers of their own ---------------------------------------------------- */

TEST(a_library_may_handle_its_own_fault)
{
    struct hand hand = {0};

    hand_ready(&hand, ODD, NULL);
    CHECK_INT(hand_call_int64(&hand, "handles", NULL, 0), SIGSEGV);
    CHECK_INT(hand.reply->fault.state, 0);
    CHECK_INT(hand_call_int64(&hand, "handles", NULL, 0), SIGSEGV);
    hand_end(&hand);
}

TEST(a_library_may_hide_a_fault)
{
    struct hand hand = {0};

    hand_ready(&hand, ODD, NULL);
    hand_call(&hand, "hides", NULL, 0);
    hand_die(&hand, "fault", NULL, 0);
    CHECK(WIFEXITED(hand.status) && WEXITSTATUS(hand.status) == 1);
    CHECK_INT(hand.reply->fault.state, 0);
    CHECK_INT(hand.reply->exiting, 0);
    hand_end(&hand);
}

TEST(unless_the_pool_says_rearm)
{
    struct hand hand = {.rearm = 1};

    hand_ready(&hand, ODD, NULL);
    hand_call(&hand, "hides", NULL, 0);
    hand_die(&hand, "fault", NULL, 0);
    CHECK_INT(check_fault(&hand, SIGSEGV)->address, 16);
    hand_end(&hand);
}
