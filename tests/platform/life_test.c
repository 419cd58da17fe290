/* SPDX-License-Identifier: MIT */
/*
 * A worker's life as the platform tells it: start, greeting, output, end, and what a start can be
 * told to do.
 */
#include "rig.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>

TEST(a_worker_starts_greets_and_quits)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);

    CHECK_INT(w->started, 1);
    CHECK(!bhp_nursery_forked(rig.nursery));
    bhp_worker_quit(w->worker);
    rig_bury(w);
    CHECK_INT(w->obituary.end, BHP_END_EXIT);
    CHECK_INT(w->obituary.code, 0);
    CHECK(w->obituary.pid > 0 && w->obituary.max_rss_bytes > 0);
    CHECK(!w->obituary.nursery_lost && !w->obituary.protocol && !w->obituary.cgroup_oom);
    rig_close(&rig);
}

TEST(many_workers_live_side_by_side)
{
    static struct rig rig;

    rig_init(&rig, "normal");
    rig_open(&rig);
    for (int i = 0; i < RIG_WORKERS; i++)
        rig_start(&rig);
    for (int i = 0; i < RIG_WORKERS; i++)
        rig_await(&rig, &rig.workers[i].ready, 1);
    for (int i = 0; i < RIG_WORKERS; i++)
        CHECK_INT(rig_int(&rig.workers[i], "echo", i), i);
    rig_close(&rig);
}

TEST(an_exit_code_is_told)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct rig_caller caller;

    rig_call_begin(&caller, w, "exit", 42);
    CHECK_INT(rig_call_end(&caller), BHP_LANE_LOST);
    rig_bury(w);
    CHECK_INT(w->obituary.end, BHP_END_EXIT);
    CHECK_INT(w->obituary.code, 42);
    rig_close(&rig);
}

/* ---- starts that fail ---- */

static struct rig_worker *start_badly(struct rig *rig)
{
    rig_open(rig);
    struct rig_worker *w = rig_start(rig);
    rig_bury(w);
    CHECK_INT(w->started, 0);
    CHECK_INT(w->obituary.end, BHP_END_NOT_STARTED);
    CHECK_INT(w->obituary.pid, 0);
    rig_close(rig);
    return w;
}

TEST(a_missing_program_is_told)
{
    static struct rig rig;

    rig_init(&rig, "normal");
    rig.options.worker = "/no/such/program";
    struct rig_worker *w = start_badly(&rig);
    CHECK_STR(w->obituary.detail, "exec /no/such/program: No such file or directory");
    CHECK_INT(w->obituary.os_error, ENOENT);
    CHECK(w->obituary.permanent);
}

TEST(a_program_that_is_none_is_told)
{
    static struct rig rig;

    rig_init(&rig, "normal");
    rig.options.worker = "/etc/passwd";
    CHECK_STR(start_badly(&rig)->obituary.detail, "exec /etc/passwd: Permission denied");
}

TEST(a_missing_directory_is_told)
{
    static struct rig rig;

    rig_init(&rig, "normal");
    rig.options.directory = "/no/such/place";
    CHECK_STR(start_badly(&rig)->obituary.detail,
              "chdir /no/such/place: No such file or directory");
}

TEST(a_kill_before_the_start_is_done)
{
    static const char *const arguments[] = {"-c", "exec sleep 1000", NULL};
    static struct rig rig;

    rig_init(&rig, "normal");
    rig.options.worker = "sh"; /* leaves nothing of its own behind wherever it is killed */
    rig.options.arguments = arguments;
    rig_open(&rig);
    struct rig_worker *w = rig_start(&rig);
    bhp_worker_kill(w->worker);
    rig_bury(w);
    CHECK_INT(w->obituary.end, BHP_END_SIGNAL);
    CHECK_INT(w->obituary.code, SIGKILL);
    rig_close(&rig);
}

TEST(a_program_is_found_in_path)
{
    static struct rig rig;
    struct bh_problem problem;

    rig_init(&rig, "normal");
    CHECK_INT(setenv("PATH", "/usr/bin:" BH_TEST_DIR, 1), 0);
    rig.options.worker = "raw_worker";
    rig_open(&rig);
    CHECK_INT(rig_int(rig_ready(&rig), "echo", 1), 1);
    rig_close(&rig);
    rig.options.worker = "no_such_worker";
    CHECK_INT(bhp_nursery_open(&rig.nursery, &rig.options, &problem), BH_E_SYSTEM);
    CHECK_STR(problem.text, "no program no_such_worker in PATH");
}

TEST(a_relative_program_is_found_from_here)
{
    static struct rig rig;

    rig_init(&rig, "normal");
    CHECK_INT(chdir(BH_TEST_DIR), 0);
    rig.options.worker = "./raw_worker";
    rig_open(&rig);
    CHECK_INT(chdir("/"), 0);
    CHECK_INT(rig_int(rig_ready(&rig), "echo", 1), 1);
    rig_close(&rig);
}

/* ---- greetings ---- */

static void check_greeting(const char *mode, const char *text)
{
    static struct rig rig;

    rig_init(&rig, mode);
    rig_open(&rig);
    struct rig_worker *w = rig_start(&rig);
    rig_bury(w);
    CHECK_INT(w->ready, 0);
    CHECK(w->obituary.protocol);
    CHECK_CONTAINS(w->obituary.detail, text);
    rig_close(&rig);
}

TEST(another_version_is_refused)
{
    check_greeting("old", "worker speaks protocol version 99, dispatcher ");
}

TEST(a_table_too_long_is_refused)
{
    check_greeting("long", "its table of methods has 1073741824 bytes");
}

TEST(a_mangled_table_is_refused)
{
    check_greeting("mangled", "its table of methods ");
}

TEST(a_method_twice_is_refused)
{
    check_greeting("twice", "names echo twice");
}

TEST(more_greetings_are_ignored)
{
    static struct rig rig;

    rig_init(&rig, "chatty");
    rig_open(&rig);
    struct rig_worker *w = rig_ready(&rig);
    CHECK_INT(rig_int(w, "echo", 9), 9);
    CHECK_INT(rig_turn(&rig, 10), 0);
    CHECK_INT(w->ready, 1);
    rig_close(&rig);
}

TEST(an_end_before_the_greeting_is_told)
{
    static struct rig rig;

    rig_init(&rig, "exit");
    rig_open(&rig);
    struct rig_worker *w = rig_start(&rig);
    rig_bury(w);
    CHECK_INT(w->ready, 0);
    CHECK_INT(w->obituary.end, BHP_END_EXIT);
    CHECK_INT(w->obituary.code, 3);
    CHECK(!w->obituary.protocol);
    rig_close(&rig);
}

/* ---- what a start can be told ---- */

static char *look(struct rig *rig)
{
    struct bhp_reply reply;

    rig_open(rig);
    struct rig_worker *w = rig_ready(rig);
    CHECK_INT(rig_call(w, "look", NULL, &reply), BHP_LANE_REPLIED);
    char *text = strndup(reply.value.as.string, reply.value.length);
    rig_drop(&reply);
    rig_close(rig);
    return text;
}

/* The test itself may run with less priority than usual. */
static int own_niceness(void)
{
    return getpriority(PRIO_PROCESS, 0);
}

TEST(a_worker_finds_what_it_is_promised)
{
    static struct rig rig;

    rig_init(&rig, "normal");
    char *text = look(&rig);
    char expected[100];
    snprintf(expected, sizeof(expected),
             "session=1 fd0 fd1 fd2 fd3 fd4 fd5 cookie=1 test=- nice=%d cwd=/", own_niceness());
    CHECK_CONTAINS(text, expected);
    free(text);
}

TEST(environment_directory_niceness_and_user_are_set)
{
    static const char *const environment[] = {"RAW_TEST=first", "RAW_TEST=second", NULL};
    static struct rig rig;

    if (geteuid() != 0)
        SKIP("needs to be root to become another user");
    rig_init(&rig, "normal");
    rig.options.environment = environment;
    rig.options.directory = "/usr";
    rig.options.nice = 5;
    rig.options.user = "65534";
    char *text = look(&rig);
    char expected[100];
    int nice = own_niceness() < 14 ? own_niceness() + 5 : 19;
    snprintf(expected, sizeof(expected), "test=second nice=%d cwd=/usr uid=65534", nice);
    CHECK_CONTAINS(text, expected);
    free(text);
}

TEST(an_environment_can_be_removed)
{
    static const char *const environment[] = {"RAW_TEST", NULL};
    static struct rig rig;

    CHECK_INT(setenv("RAW_TEST", "inherited", 1), 0);
    rig_init(&rig, "normal");
    char *text = look(&rig);
    CHECK_CONTAINS(text, "test=inherited");
    free(text);
    rig.options.environment = environment;
    text = look(&rig);
    CHECK_CONTAINS(text, "test=- ");
    free(text);
    rig.options.environment = NULL;
    rig.options.clear_environment = true;
    text = look(&rig);
    CHECK_CONTAINS(text, "test=- ");
    free(text);
}

TEST(bad_options_are_told)
{
    static struct rig rig;
    struct bh_problem problem;

    rig_init(&rig, "normal");
    rig.options.affinity = "0-,3";
    CHECK_INT(bhp_nursery_open(&rig.nursery, &rig.options, &problem), BH_E_INVALID);
    CHECK_CONTAINS(problem.text, "\"0-,3\" is no list of processors");
    rig.options.affinity = NULL;
    rig.options.user = "no such user";
    CHECK_INT(bhp_nursery_open(&rig.nursery, &rig.options, &problem), BH_E_SYSTEM);
    CHECK_STR(problem.text, "user no such user: no such user");
}

TEST(limits_are_the_hosts_own)
{
    static struct rig rig;
    struct rlimit limit;
    struct rlimit low;

    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = (struct rlimit){100, limit.rlim_max};
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &low), 0);
    struct rig_worker *w = rig_one(&rig);
    CHECK_INT(prlimit((pid_t)bhp_worker_pid(w->worker), RLIMIT_NOFILE, NULL, &limit), 0);
    CHECK_INT(limit.rlim_cur, 100);
    rig_close(&rig);
}

TEST(rlimits_and_affinity_are_set)
{
    static const struct bh_rlimit limits[] = {{RLIMIT_NOFILE, 77, 78}};
    static struct rig rig;
    char path[64];
    char text[8192] = "";

    rig_init(&rig, "normal");
    rig.options.rlimits = limits;
    rig.options.rlimit_count = 1;
    rig.options.affinity = "0";
    rig_open(&rig);
    struct rig_worker *w = rig_ready(&rig);
    snprintf(path, sizeof(path), "/proc/%d/limits", (int)bhp_worker_pid(w->worker));
    FILE *file = fopen(path, "r");
    CHECK(fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    CHECK_CONTAINS(text, "Max open files            77                   78");
    struct rlimit core;
    CHECK_INT(prlimit((pid_t)bhp_worker_pid(w->worker), RLIMIT_CORE, NULL, &core), 0);
    CHECK_INT(core.rlim_max, 1); /* a sanitizer lowers the other one */
    cpu_set_t set;
    CHECK_INT(sched_getaffinity((pid_t)bhp_worker_pid(w->worker), sizeof(set), &set), 0);
    CHECK_INT(CPU_COUNT(&set), 1);
    rig_close(&rig);
}

/* ---- output and samples ---- */

TEST(output_arrives_and_outlives_the_worker)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct rig_caller caller;

    rig_call_begin(&caller, w, "print", 100000);
    CHECK_INT(rig_call_end(&caller), BHP_LANE_REPLIED);
    rig_drop(&caller.reply);
    bhp_worker_quit(w->worker);
    rig_bury(w);
    CHECK_INT(w->text_bytes, 1600000);
    CHECK(w->outputs > 1);
    rig_close(&rig);
}

TEST(output_that_nobody_reads_is_told_again)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct bhp_event event;

    CHECK_INT(rig_int(w, "print", 1), 0);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(bhp_loop_wait(rig.nursery, BHP_FOREVER, &event, 1), 1);
        CHECK_INT(event.type, BHP_EVENT_OUTPUT);
    }
    rig_output(w);
    CHECK_INT(bhp_loop_wait(rig.nursery, bhp_now() + 1000000, &event, 1), 0);
    rig_close(&rig);
}

TEST(a_kick_ends_a_wait)
{
    static struct rig rig;
    struct bhp_event event;

    rig_one(&rig);
    bhp_loop_kick(rig.nursery);
    bhp_loop_kick(rig.nursery);
    CHECK_INT(bhp_loop_wait(rig.nursery, BHP_FOREVER, &event, 1), 0);
    int64_t begun = bhp_now();
    CHECK_INT(bhp_loop_wait(rig.nursery, begun + 5000000, &event, 1), 0);
    CHECK(bhp_now() >= begun + 5000000);
    rig_close(&rig);
}

TEST(anonymous_memory_is_sampled)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    uint64_t before = bhp_worker_rss(w->worker);

    CHECK(before > 0);
    CHECK_INT(rig_int(w, "waste", 64 << 20), 0);
    CHECK(bhp_worker_rss(w->worker) >= before + (63 << 20));
    bhp_worker_kill(w->worker);
    rig_await(&rig, &w->exited, 1);
    CHECK_INT(bhp_worker_rss(w->worker), 0);
    rig_close(&rig);
}

/* ---- what is left behind ---- */

TEST(a_daemon_dies_with_its_worker)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct rig_worker *other = rig_ready(&rig);
    intptr_t own = rig_int(w, "stray", 0);
    intptr_t others = rig_int(other, "stray", 0);

    CHECK_INT(kill((pid_t)own, 0), 0);
    bhp_worker_kill(w->worker);
    rig_bury(w);
    CHECK(kit_wait_until(rig_is_gone, (void *)own, 2000));
    CHECK_INT(kill((pid_t)others, 0), 0);
    CHECK_INT(rig_int(other, "echo", 1), 1);
    rig_close(&rig);
    CHECK(rig_is_gone((void *)others));
}

TEST(a_chain_of_sessions_dies_with_its_worker)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    int launcher[8];

    CHECK_INT(rig_int(w, "brood", 50), 0);
    bhp_worker_kill(w->worker);
    rig_bury(w);
    int64_t until = kit_now_ms() + 5000 * kit_slowdown();
    while (kit_descendants(launcher, 8) > 1) {
        CHECK(kit_now_ms() < until);
        rig_turn(&rig, 1);
    }
    rig_close(&rig);
}
