/* SPDX-License-Identifier: MIT */
/*
 * A worker whose handlers do what real libraries do to the process they live in: fork, replace
 * signal handlers, handle their own faults, answer twice. worker_test.c calls it.
 *
 * Its first argument, if any, says what is odd about the worker itself.
 */
#include <bulkhead/worker.h>

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNCHECKED __attribute__((noinline, no_sanitize("address", "undefined")))

typedef const bh_value *args;

static void reply_int64(bh_call *call, int64_t number)
{
    bh_value value = bh_value_int64(number);

    bh_call_reply(call, &value);
}

UNCHECKED static void touch(uintptr_t address)
{
    *(volatile int *)address = 1;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void silent(bh_call *call, args arguments, size_t count, void *context)
{
    (void)call, (void)arguments, (void)count, (void)context;
}

/* Replies 1, then tries more. Says on stderr what came of it. */
static void twice(bh_call *call, args arguments, size_t count, void *context)
{
    bh_value two = bh_value_int64(2);
    int reply, fail;

    (void)arguments, (void)count, (void)context;
    reply_int64(call, 1);
    reply = bh_call_reply(call, &two);
    fail = bh_call_fail(call, 3, "three");
    fprintf(stderr, "twice: %s %s\n", bh_error_name(reply), bh_error_name(fail));
}

/* A reply that cannot be sent, and nothing else. */
static void bad_reply(bh_call *call, args arguments, size_t count, void *context)
{
    bh_value value = bh_value_view("no \xff UTF-8");

    (void)arguments, (void)count, (void)context;
    fprintf(stderr, "bad-reply: %s\n", bh_error_name(bh_call_reply(call, &value)));
}

/* A failure's text with everything wrong: bytes that are no UTF-8, and more than fits. */
static void long_fail(bh_call *call, args arguments, size_t count, void *context)
{
    static char text[5001];

    (void)arguments, (void)count, (void)context;
    memset(text, 'x', sizeof text - 1);
    memcpy(text, "a\xff\xe2\x82z", 5);
    memcpy(text + 4095 - 2 * 3 - 1, "\xe2\x82\xac", 3); /* straddles the cut, once grown */
    bh_call_fail(call, -7, "%s", text);
}

static void nul_fail(bh_call *call, args arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    bh_call_fail(call, 1, "before%cafter", 0);
}

static void who(bh_call *call, args arguments, size_t count, void *context)
{
    bh_value text;

    (void)arguments, (void)count;
    bh_value_new_printf(&text, "%s %llu %s", bh_call_method(call),
                        (unsigned long long)bh_call_serial(call), (const char *)context);
    bh_call_reply(call, &text);
    bh_value_deinit(&text);
}

/* Prints without a newline: it must be out before the answer is. */
static void print(bh_call *call, args arguments, size_t count, void *context)
{
    (void)call, (void)arguments, (void)count, (void)context;
    printf("printed");
}

/* ---- children -------------------------------------------------------------------------------- */

/* Runs something in a forked child. Replies how that ended. */
static void in_child(bh_call *call, void (*body)(bh_call *))
{
    int status = -1;
    pid_t child = fork();

    if (child == 0)
        body(call);
    waitpid(child, &status, 0);
    reply_int64(call, status);
}

static void child_exit(bh_call *call)
{
    (void)call;
    exit(5);
}

static void child_fault(bh_call *call)
{
    (void)call;
    touch(16);
}

static void child_answer(bh_call *call)
{
    bh_value value = bh_value_int64(-1);

    bh_call_progress(call, 77, 77);
    _exit(bh_call_reply(call, &value) == BH_E_STATE ? 6 : 7);
}

static void fork_exit(bh_call *call, args arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    in_child(call, child_exit);
}

static void fork_fault(bh_call *call, args arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    in_child(call, child_fault);
}

static void fork_answer(bh_call *call, args arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    in_child(call, child_answer);
}

/* The child comes back out of the handler. */
static void fork_return(bh_call *call, args arguments, size_t count, void *context)
{
    int status = -1;
    pid_t child = fork();

    (void)arguments, (void)count, (void)context;
    if (child == 0)
        return;
    waitpid(child, &status, 0);
    reply_int64(call, status);
}

/* ---- signals --------------------------------------------------------------------------------- */

static sigjmp_buf back;

static void jump_back(int signal)
{
    siglongjmp(back, signal);
}

/* Handles a fault of its own, and leaves its handler behind. */
static void handles(bh_call *call, args arguments, size_t count, void *context)
{
    int caught;

    (void)arguments, (void)count, (void)context;
    signal(SIGSEGV, jump_back);
    caught = sigsetjmp(back, 1);
    if (caught == 0)
        touch(16);
    reply_int64(call, caught);
}

static void turn_into_exit(int signal)
{
    (void)signal;
    _exit(1);
}

/* What some libraries do: a fault becomes exit(1). */
static void hides(bh_call *call, args arguments, size_t count, void *context)
{
    (void)call, (void)arguments, (void)count, (void)context;
    signal(SIGSEGV, turn_into_exit);
}

static void fault(bh_call *call, args arguments, size_t count, void *context)
{
    int64_t address = 16;

    (void)call, (void)context;
    if (count == 1)
        bh_value_get_int64(&arguments[0], &address);
    touch((uintptr_t)address);
}

static void trap(bh_call *call, args arguments, size_t count, void *context)
{
    (void)call, (void)arguments, (void)count, (void)context;
#if defined(__x86_64__) || defined(__i386__)
    __asm__ volatile("int3");
#else
    raise(SIGTRAP);
#endif
}

UNCHECKED static int descend(volatile const char *above)
{
    volatile char here[256];

    here[0] = (char)(*above + 1);
    if (above == NULL)
        return 0;
    return descend(here) + here[0];
}

static void *overflow_in_thread(void *known)
{
    volatile char top = 0;

    if (known != NULL)
        bh_worker_thread_enter();
    descend(&top);
    return NULL;
}

/* Overflows the stack of a thread that has (1) or has not (0) said that it is there. */
static void thread_overflow(bh_call *call, args arguments, size_t count, void *context)
{
    pthread_t thread;
    int64_t known = 0;

    (void)call, (void)count, (void)context;
    bh_value_get_int64(&arguments[0], &known);
    if (pthread_create(&thread, NULL, overflow_in_thread, known ? &known : NULL) == 0)
        pthread_join(thread, NULL);
}

/* A frame so large that its far end jumps over any guard page. */
UNCHECKED static void big_frame(bh_call *call, args arguments, size_t count, void *context)
{
    volatile char room[16 << 20];

    (void)call, (void)arguments, (void)context;
    room[count] = 1; /* 0, but a compiler does not know that */
    (void)room[count];
}

static void *enter_and_leave(void *count)
{
    for (int i = 0; i < *(int *)count; i++) {
        if (bh_worker_thread_enter() != BH_OK)
            return NULL;
        bh_worker_thread_leave();
    }
    return count;
}

/* Threads may come and go. Replies how many mappings that left behind. */
static void threads(bh_call *call, args arguments, size_t count, void *context)
{
    int rounds = 50;
    pthread_t thread;
    void *result = NULL;

    (void)arguments, (void)count, (void)context;
    if (pthread_create(&thread, NULL, enter_and_leave, &rounds) == 0)
        pthread_join(thread, &result);
    reply_int64(call, result != NULL);
}

/* Forbids one system call, and makes it. */
static void forbidden(bh_call *call, args arguments, size_t count, void *context)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sethostname, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    (void)arguments, (void)count, (void)context;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        bh_call_fail(call, errno, "no seccomp here");
    else
        syscall(SYS_sethostname, "x", 1);
}

/* Many threads fault at once. */
static pthread_barrier_t all_there;

static void *fault_together(void *nothing)
{
    pthread_barrier_wait(&all_there);
    touch(16);
    return nothing;
}

static void crowd(bh_call *call, args arguments, size_t count, void *context)
{
    pthread_t thread;

    (void)call, (void)arguments, (void)count, (void)context;
    pthread_barrier_init(&all_there, NULL, 8);
    for (int i = 0; i < 7; i++)
        pthread_create(&thread, NULL, fault_together, NULL);
    fault_together(NULL);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

/* A library that closes what it does not know, and opens something of its own. */
static void steal_control(bh_call *call, args arguments, size_t count, void *context)
{
    static char large[1 << 20];
    bh_value value = bh_value_view_bytes(large, sizeof large);

    (void)arguments, (void)count, (void)context;
    close(5);
    dup2(1, 5);
    bh_call_reply(call, &value);
}

static const struct bh_method methods[] = {
    {"silent", silent, NULL},
    {"twice", twice, NULL},
    {"bad-reply", bad_reply, NULL},
    {"long-fail", long_fail, NULL},
    {"nul-fail", nul_fail, NULL},
    {"who", who, "says who it is"},
    {"print", print, NULL},
    {"fork-exit", fork_exit, NULL},
    {"fork-fault", fork_fault, NULL},
    {"fork-answer", fork_answer, NULL},
    {"fork-return", fork_return, NULL},
    {"handles", handles, NULL},
    {"hides", hides, NULL},
    {"fault", fault, "fault(address)"},
    {"trap", trap, NULL},
    {"thread-overflow", thread_overflow, NULL},
    {"big-frame", big_frame, NULL},
    {"threads", threads, NULL},
    {"forbidden", forbidden, NULL},
    {"crowd", crowd, NULL},
    {"steal-control", steal_control, NULL},
    {NULL, NULL, NULL},
};

static const struct bh_method doubled[] = {{"a", silent, NULL}, {"a", silent, NULL}, {0}};
static const struct bh_method hollow[] = {{"a", NULL, NULL}, {0}};
static const struct bh_method garbled[] = {{"\xff", silent, NULL}, {0}};

static int init(int argc, char **argv, void **context)
{
    *context = argv[argc]; /* NULL */
    *context = argc > 1 ? argv[1] : (char *)(uintptr_t) "nobody";
    if (argc > 2)
        return atoi(argv[2]);
    if (strcmp(*context, "fault") == 0)
        touch(16);
    return 0;
}

static void fini(void *context)
{
    fprintf(stderr, "fini %s\n", (const char *)context);
}

int main(int argc, char **argv)
{
    struct bh_worker worker = BH_WORKER_INIT;
    const char *odd = argc > 1 ? argv[1] : "";

    worker.methods = methods;
    worker.init = init;
    worker.fini = fini;
    if (strcmp(odd, "impatient") == 0)
        worker.idle_exit_ms = 50;
    if (strcmp(odd, "doubled") == 0)
        worker.methods = doubled;
    if (strcmp(odd, "hollow") == 0)
        worker.methods = hollow;
    if (strcmp(odd, "garbled") == 0)
        worker.methods = garbled;
    if (strcmp(odd, "short") == 0)
        worker.size = 3;
    return bh_worker_main(argc, argv, &worker);
}

/* Sanitizers leave the faults alone. */
BH_EXPORT const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "abort_on_error=1:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:"
           "handle_abort=0:detect_leaks=0";
}
