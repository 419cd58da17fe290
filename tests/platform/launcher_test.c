/* SPDX-License-Identifier: MIT */
/*
 * The launcher: how it is started without disturbing its host, and what happens when it or the
 * dispatcher ends.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* The one descendant that is no worker of the rig. */
static int launcher_of(const struct rig *rig)
{
    int pids[64];
    size_t count = kit_descendants(pids, 64);

    for (size_t i = 0; i < count && i < 64; i++) {
        bool worker = false;
        for (int j = 0; j < RIG_WORKERS; j++)
            worker = worker || (rig->workers[j].worker != NULL &&
                                bhp_worker_pid(rig->workers[j].worker) == pids[i]);
        if (!worker)
            return pids[i];
    }
    FAIL("there is no launcher");
}

static void read_proc(int pid, const char *name, char *text, size_t size)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY);
    ssize_t length = read(fd, text, size - 1);
    CHECK(length >= 0);
    close(fd);
    text[length] = '\0';
    for (ssize_t i = 0; i + 1 < length; i++) {
        if (text[i] == '\0')
            text[i] = ' ';
    }
}

/* ---- manners ---- */

static atomic_int signals;

static void on_child(int signal)
{
    (void)signal;
    atomic_fetch_add(&signals, 1);
}

TEST(the_host_sees_no_child)
{
    static struct rig rig;

    /* The kit makes the test a subreaper to find leaks; a host is none. */
    CHECK_INT(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    signal(SIGCHLD, on_child);
    struct rig_worker *w = rig_one(&rig);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_INT(errno, ECHILD);
    bhp_worker_kill(w->worker);
    rig_close(&rig);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_INT(errno, ECHILD);
    CHECK_INT(atomic_load(&signals), 0);
}

TEST(process_lists_say_what_it_is)
{
    static struct rig rig;
    char text[512];
    char expected[128];

    rig_init(&rig, "normal");
    rig.options.name = "a b,c";
    rig_open(&rig);
    struct rig_worker *w = rig_ready(&rig);
    read_proc(launcher_of(&rig), "cmdline", text, sizeof(text));
    snprintf(expected, sizeof(expected), "bulkhead-launcher pool=a_b_c dispatcher=%d", getpid());
    CHECK_STR(text, expected);
    read_proc((int)bhp_worker_pid(w->worker), "cmdline", text, sizeof(text));
    snprintf(expected, sizeof(expected), "%s normal --bulkhead=a_b_c,1,%d", rig.options.worker,
             getpid());
    CHECK_STR(text, expected);
    rig_close(&rig);
}

/* What a host may have done to its descriptors. */
static void check_descriptors(void (*spoil)(void))
{
    static struct rig rig;
    int status;

    pid_t pid = fork();
    if (pid == 0) {
        spoil();
        struct rig_worker *w = rig_one(&rig);
        int64_t sum = rig_int(w, "echo", 5);
        rig_close(&rig);
        _exit(sum == 5 ? 0 : 1);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
}

static void close_standard(void)
{
    close(0);
    close(1);
    close(2);
}

TEST(a_host_without_standard_descriptors_works)
{
    check_descriptors(close_standard);
}

static void close_stdout(void)
{
    close(1);
}

TEST(a_host_without_stdout_works)
{
    check_descriptors(close_stdout);
}

static void fill_low(void)
{
    for (int fd = 3; fd < 40; fd++)
        dup2(2, fd);
}

TEST(a_host_with_many_descriptors_works)
{
    check_descriptors(fill_low);
}

static void ignore_everything(void)
{
    sigset_t all;

    for (int i = 1; i < 32; i++)
        signal(i, SIG_IGN);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

TEST(a_host_that_ignores_and_blocks_all_signals_works)
{
    check_descriptors(ignore_everything);
}

static void *open_here(void *rig)
{
    rig_open(rig);
    return NULL;
}

TEST(the_opening_thread_may_end)
{
    static struct rig rig;
    pthread_t thread;

    rig_init(&rig, "normal");
    CHECK_INT(pthread_create(&thread, NULL, open_here, &rig), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_INT(rig_int(rig_ready(&rig), "echo", 5), 5);
    rig_close(&rig);
}

TEST(a_forked_child_is_told_apart)
{
    static struct rig rig;
    int status;

    rig_one(&rig);
    CHECK(!bhp_nursery_forked(rig.nursery));
    pid_t pid = fork();
    if (pid == 0)
        _exit(bhp_nursery_forked(rig.nursery) ? 7 : 8);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(WEXITSTATUS(status), 7);
    rig_close(&rig);
}

TEST(process_numbers_differ_in_a_forked_child)
{
    int64_t mine = bhp_process_id();
    int64_t childs = 0;
    int ends[2];

    CHECK(mine > 0);
    CHECK_INT(bhp_process_id(), mine);
    CHECK_INT(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        childs = bhp_process_id();
        _exit(write(ends[1], &childs, sizeof(childs)) != sizeof(childs));
    }
    CHECK_INT(read(ends[0], &childs, sizeof(childs)), sizeof(childs));
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    CHECK(childs > 0 && childs != mine);
    close(ends[0]);
    close(ends[1]);
}

/* ---- starts that fail ---- */

static void check_no_launcher(const char *path, const char *text)
{
    static struct rig rig;
    struct bh_problem problem;

    rig_init(&rig, "normal");
    rig.options.launcher = path;
    CHECK_INT(bhp_nursery_open(&rig.nursery, &rig.options, &problem), BH_E_SYSTEM);
    CHECK_CONTAINS(problem.text, text);
}

TEST(a_missing_launcher_is_told)
{
    check_no_launcher("/no/such/launcher",
                      "executing the launcher /no/such/launcher: No such file or directory");
}

TEST(a_launcher_that_is_none_is_told)
{
    check_no_launcher("/bin/true", "the launcher was lost: it ended");
}

TEST(a_launcher_that_talks_nonsense_is_told)
{
    static const char script[] = "#!/bin/sh\necho nonsense >&3\nexec sleep 1000\n";
    char path[256];

    snprintf(path, sizeof(path), "%s/launcher", kit_temp_dir());
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    CHECK_INT(write(fd, script, sizeof(script) - 1), (long)sizeof(script) - 1);
    close(fd);
    check_no_launcher(path, "the launcher was lost: it sent what makes no sense");
    CHECK_INT(unlink(path), 0);
}

TEST(a_launcher_can_be_a_file)
{
    static struct rig rig;

    rig_init(&rig, "normal");
    rig.options.launcher = BH_TEST_BIN_DIR "/bulkhead-launcher";
    rig_open(&rig);
    CHECK_INT(rig_int(rig_ready(&rig), "echo", 1), 1);
    rig_close(&rig);
}

TEST(no_descriptors_are_told_and_nothing_leaks)
{
    static struct rig rig;
    struct bh_problem problem;
    struct rlimit limit;
    bhp_worker *worker;

    rig_init(&rig, "normal");
    rig_open(&rig);
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    for (rlim_t most = 3; most < 64; most++) {
        struct rlimit low = {most, limit.rlim_max};
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &low), 0);
        int rc = bhp_worker_start(rig.nursery, 1000 + most, NULL, &worker, &problem);
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
        if (rc == BH_OK) {
            struct bhp_event event = {0};
            bhp_worker_kill(worker);
            while (event.type != BHP_EVENT_EXITED)
                bhp_loop_wait(rig.nursery, BHP_FOREVER, &event, 1);
            bhp_worker_free(worker);
            rig_close(&rig);
            return;
        }
        CHECK_INT(rc, BH_E_SYSTEM);
        CHECK_CONTAINS(problem.text, "Too many open files");
    }
    FAIL("it never had descriptors enough");
}

TEST(no_descriptors_for_a_nursery_are_told)
{
    static struct rig rig;
    struct bh_problem problem;
    struct rlimit limit;

    rig_init(&rig, "normal");
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    for (rlim_t most = 3; most < 64; most++) {
        struct rlimit low = {most, limit.rlim_max};
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &low), 0);
        int rc = bhp_nursery_open(&rig.nursery, &rig.options, &problem);
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
        if (rc == BH_OK) {
            rig_close(&rig);
            return;
        }
        CHECK_INT(rc, BH_E_SYSTEM);
    }
    FAIL("it never had descriptors enough");
}

TEST(a_pidfd_that_cannot_be_taken_costs_one_worker)
{
    static struct rig rig;
    struct rlimit limit;
    struct rlimit none;

    rig_init(&rig, "normal");
    rig_open(&rig);
    struct rig_worker *good = rig_ready(&rig);
    struct rig_worker *w = rig_start(&rig);
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){3, limit.rlim_max};
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &none), 0);
    rig_await(&rig, &w->started, 1);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    rig_bury(w);
    CHECK_INT(w->obituary.code, SIGKILL);
    CHECK_INT(rig.lost, 0);
    CHECK_INT(rig_int(good, "echo", 6), 6);
    rig_close(&rig);
}

/* ---- ends ---- */

TEST(a_lost_launcher_takes_its_workers_and_is_replaced)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct rig_worker *idle = rig_ready(&rig);
    struct rig_caller caller;
    intptr_t stray = rig_int(idle, "stray", 0);

    CHECK(stray > 0);
    rig_call_begin(&caller, w, "hang", 0);
    CHECK_INT(kill(launcher_of(&rig), SIGKILL), 0);
    CHECK_INT(rig_call_end(&caller), BHP_LANE_LOST);
    rig_bury(w);
    rig_bury(idle);
    CHECK_INT(rig.lost, 1);
    CHECK(w->obituary.nursery_lost && idle->obituary.nursery_lost);
    CHECK_INT(w->obituary.end, BHP_END_UNKNOWN);
    int64_t until = kit_now_ms() + 10000;
    struct bh_problem problem;
    bhp_worker *worker = NULL;
    while (bhp_worker_start(rig.nursery, 77, &rig.workers[2], &worker, &problem) != BH_OK) {
        CHECK_CONTAINS(problem.text, "launcher");
        CHECK(kit_now_ms() < until);
        rig_turn(&rig, 10);
    }
    rig.workers[2] = (struct rig_worker){.rig = &rig, .worker = worker};
    rig_await(&rig, &rig.workers[2].ready, 1);
    CHECK_INT(rig_int(&rig.workers[2], "echo", 8), 8);
    rig_close(&rig);
    kill((pid_t)stray, SIGKILL); /* a daemon of its own session, and nobody was left to find it */
}

TEST(workers_that_were_starting_are_lost_too)
{
    static struct rig rig;

    rig_init(&rig, "normal");
    rig_open(&rig);
    int launcher = launcher_of(&rig);
    CHECK_INT(kill(launcher, SIGSTOP), 0);
    struct rig_worker *w = rig_start(&rig);
    CHECK_INT(kill(launcher, SIGKILL), 0);
    rig_bury(w);
    CHECK_INT(w->obituary.end, BHP_END_NOT_STARTED);
    CHECK(w->obituary.nursery_lost);
    CHECK_INT(rig.lost, 1);
    rig_close(&rig);
}

TEST(a_launcher_that_does_not_report_is_given_up)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct rig_worker *starting;

    CHECK_INT(kill(launcher_of(&rig), SIGSTOP), 0);
    starting = rig_start(&rig);
    bhp_worker_kill(starting->worker);
    bhp_worker_kill(w->worker);
    rig_bury(w);
    rig_bury(starting);
    CHECK_INT(rig.lost, 1);
    CHECK(w->obituary.nursery_lost && starting->obituary.nursery_lost);
    rig_close(&rig);
}

TEST(what_a_terminal_sends_does_not_end_it)
{
    static const int sent[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGUSR1, SIGTSTP};
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    int launcher = launcher_of(&rig);

    for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++)
        CHECK_INT(kill(launcher, sent[i]), 0);
    bhp_worker_quit(w->worker);
    rig_bury(w);
    CHECK_INT(w->obituary.end, BHP_END_EXIT);
    CHECK_INT(rig.lost, 0);
    rig_close(&rig);
}

TEST(everything_ends_with_the_dispatcher)
{
    static struct rig rig;
    struct {
        int launcher, worker, stray, forked;
    } pids;
    int ends[2];

    CHECK_INT(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct rig_worker *w = rig_one(&rig);
        pids.stray = (int)rig_int(w, "stray", 0);
        pids.worker = (int)bhp_worker_pid(w->worker);

        char text[512];
        read_proc(pids.worker, "stat", text, sizeof(text));
        sscanf(strrchr(text, ')'), ") %*c %d", &pids.launcher);
        /* A forked child holds every descriptor open: an end of file never comes. */
        pids.forked = fork();
        if (pids.forked == 0) {
            pause();
            _exit(0);
        }
        if (write(ends[1], &pids, sizeof(pids)) == sizeof(pids))
            kill(getpid(), SIGKILL);
    }
    CHECK_INT(read(ends[0], &pids, sizeof(pids)), sizeof(pids));
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    CHECK(kit_pid_gone(pids.worker, 2000));
    CHECK(kit_pid_gone(pids.launcher, 2000));
    CHECK(kit_pid_gone(pids.stray, 2000));
    CHECK_INT(kill(pids.forked, SIGKILL), 0);
    CHECK(kit_pid_gone(pids.forked, 2000));
    close(ends[0]);
    close(ends[1]);
}

TEST(closing_ends_strays_too)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    int stray = (int)rig_int(w, "stray", 0);

    bhp_worker_quit(w->worker);
    rig_bury(w);
    rig_close(&rig);
    CHECK(kit_pid_gone(stray, 100));
}

TEST(a_pool_inside_a_worker_lives_as_long_as_that)
{
    static struct rig rig;
    struct rig_worker *outer = rig_one(&rig);
    struct rig_worker *neighbour = rig_ready(&rig);
    int inner = (int)rig_int(outer, "nest", 0);

    bhp_worker_kill(neighbour->worker);
    rig_bury(neighbour);
    CHECK(!kit_pid_gone(inner, 100));
    bhp_worker_kill(outer->worker);
    rig_bury(outer);
    CHECK(kit_pid_gone(inner, 2000));
    rig_close(&rig);
}

/* ---- crowds ---- */

#define CROWD 200

TEST_TIMEOUT(a_crowd_starts_at_once, 60)
{
    static struct rig rig;
    static bhp_worker *workers[CROWD];
    struct bhp_event events[16];
    struct bh_problem problem;
    size_t ready = 0;
    size_t exited = 0;

    rig_init(&rig, "normal");
    rig_open(&rig);
    for (size_t i = 0; i < CROWD; i++) {
        if (bhp_worker_start(rig.nursery, i + 1, &workers[i], &workers[i], &problem) != BH_OK)
            FAIL("worker %zu: %s", i, problem.text);
    }
    while (exited < CROWD) {
        size_t count = bhp_loop_wait(rig.nursery, BHP_FOREVER, events, 16);
        for (size_t i = 0; i < count; i++) {
            bhp_worker **worker = events[i].owner;
            ready += events[i].type == BHP_EVENT_READY;
            exited += events[i].type == BHP_EVENT_EXITED;
            if (events[i].type == BHP_EVENT_READY)
                bhp_worker_quit(*worker);
            if (events[i].type == BHP_EVENT_EXITED)
                bhp_worker_free(*worker);
        }
    }
    CHECK_INT(ready, CROWD);
    rig_close(&rig);
}

TEST(a_stopped_launcher_is_not_filled_beyond_its_socket)
{
    static struct rig rig;
    static bhp_worker *workers[CROWD * 3];
    struct bhp_event events[16];
    struct rlimit limit;
    size_t exited = 0;
    size_t asked;

    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    rig_init(&rig, "normal");
    rig.options.lane_bytes = 16384;
    rig_open(&rig);
    int launcher = launcher_of(&rig);
    CHECK_INT(kill(launcher, SIGSTOP), 0);
    for (asked = 0; asked < CROWD * 3; asked++) {
        if (bhp_worker_start(rig.nursery, asked + 1, &workers[asked], &workers[asked], NULL) !=
            BH_OK)
            break;
    }
    CHECK_INT(asked, CROWD * 3);
    for (size_t i = 0; i < asked; i++)
        bhp_worker_kill(workers[i]);
    CHECK_INT(kill(launcher, SIGKILL), 0);
    while (exited < asked) {
        size_t count = bhp_loop_wait(rig.nursery, BHP_FOREVER, events, 16);
        for (size_t i = 0; i < count; i++) {
            if (events[i].type == BHP_EVENT_EXITED) {
                exited++;
                bhp_worker_free(*(bhp_worker **)events[i].owner);
            }
        }
    }
    rig_close(&rig);
}
