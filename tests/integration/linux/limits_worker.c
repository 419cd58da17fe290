/* SPDX-License-Identifier: MIT */
/*
 * A worker that tells as whom and within what limits it runs.
 *   user() -> uid    nice() -> number    processors() -> how many    limit(resource) -> [soft,
 * hard]
 */
#include <bulkhead/worker.h>

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

static int64_t number(const bh_value *arguments, size_t count, size_t i)
{
    int64_t result = 0;

    if (i < count)
        bh_value_get_int64(&arguments[i], &result);
    return result;
}

static void reply_number(bh_call *call, int64_t value)
{
    bh_value reply = bh_value_int64(value);

    bh_call_reply(call, &reply);
}

static void user(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    reply_number(call, geteuid());
}

static void niceness(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    reply_number(call, getpriority(PRIO_PROCESS, 0));
}

static void processors(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    cpu_set_t set;

    (void)arguments, (void)count, (void)context;
    reply_number(call, sched_getaffinity(0, sizeof(set), &set) ? -1 : CPU_COUNT(&set));
}

static void limit(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    struct rlimit now = {0, 0};

    (void)context;
    getrlimit((__rlimit_resource_t)number(arguments, count, 0), &now);
    bh_value pair[] = {bh_value_int64((int64_t)now.rlim_cur),
                       bh_value_int64((int64_t)now.rlim_max)};
    bh_value reply = bh_value_view_array(pair, 2);
    bh_call_reply(call, &reply);
}

static const struct bh_method methods[] = {
    {"user", user, NULL},   {"nice", niceness, NULL}, {"processors", processors, NULL},
    {"limit", limit, NULL}, {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    struct bh_worker worker = BH_WORKER_INIT;

    worker.methods = methods;
    worker.fork_safe = true;
    return bh_worker_main(argc, argv, &worker);
}
