/* SPDX-License-Identifier: MIT */
#include <bulkhead/worker.h>

/* Divides two numbers, and dies when the second is 0. */
static void divide(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t a = 0, b = 0;

    (void)context;
    if (count != 2 || bh_value_get_int64(&arguments[0], &a) ||
        bh_value_get_int64(&arguments[1], &b))
        bh_call_fail(call, 1, "divide needs two integers");
    else
        bh_call_reply(call, &(bh_value){.type = BH_INT64, .as.int64 = a / b});
}

int main(int argc, char **argv)
{
    const struct bh_method methods[] = {{"divide", divide, "divide(a, b) -> a / b"}, {0}};
    const struct bh_worker worker = {.size = sizeof worker, .methods = methods};

    return bh_worker_main(argc, argv, &worker);
}
