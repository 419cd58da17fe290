/* SPDX-License-Identifier: MIT */
/*
 * A plug-in for bulkhead-host: a shared library, no main(). It counts the words of a text.
 *
 *     cc -shared -fPIC -o plugin.so plugin.c
 *     bulkhead-host ./plugin.so --methods
 *
 * Start it as the worker program "bulkhead-host" with the argument "./plugin.so". An argument after
 * that names the characters that separate words.
 */
#include <bulkhead/worker.h>

#include <string.h>

static const char *separators = " \t\n";

static int init(int argc, char **argv, void **context)
{
    (void)context;
    if (argc > 1)
        separators = argv[1];
    return 0;
}

/* A character of the text; NUL separates nothing, though strchr() would find it. */
static bool separates(char c)
{
    return c != '\0' && strchr(separators, c) != NULL;
}

static void words(bh_call *call, const bh_value *arguments, size_t count, void *context)
{
    const char *text;
    size_t length;
    int64_t found = 0;
    bh_value reply;

    (void)context;
    if (count != 1 || bh_value_get_string(&arguments[0], &text, &length) != BH_OK) {
        bh_call_fail(call, 1, "usage: words(text)");
        return;
    }
    for (size_t i = 0; i < length; i++)
        found += !separates(text[i]) && (i == 0 || separates(text[i - 1]));
    reply = bh_value_int64(found);
    bh_call_reply(call, &reply);
}

static const struct bh_method methods[] = {
    {"words", words, "words(text) -> how many there are"},
    {NULL, NULL, NULL},
};

BH_EXPORT const struct bh_worker bulkhead_plugin = {
    sizeof(struct bh_worker), methods, init, NULL, NULL, 0, true,
};
