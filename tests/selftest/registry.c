/* SPDX-License-Identifier: MIT */
/*
 * The registry before and after everything else: nothing is registered.
 *
 * Model: COM's own first use comes before the first look, since a cold system writes then. Other
 * programs may change the registry meanwhile: so what is different is named.
 */
#include "selftest.h"

#include "keys.h"

#include <objbase.h>
#include <stdio.h>

#define NAMED_MOST 20

static struct keys before;

static void use_com(void)
{
    IRunningObjectTable *table = NULL;

    if (FAILED(CoInitializeEx(NULL, COINIT_APARTMENTTHREADED)))
        return;
    if (SUCCEEDED(GetRunningObjectTable(0, &table)))
        table->lpVtbl->Release(table);
    CoUninitialize();
}

void registry_before(void)
{
    report_part("The registry, before");
    use_com();
    keys_read(&before, false);
    report_note("%zu keys under CLSID, AppID, TypeLib and Interface; hash %016llx", before.count,
                (unsigned long long)before.hash);
}

static void name_difference(void *context, const wchar_t *name, bool is_new)
{
    unsigned *count = context;

    if ((*count)++ < NAMED_MOST)
        report_note("%s %ls", is_new ? "new: " : "gone:", name);
}

void registry_after(void)
{
    unsigned differences = 0;
    struct keys after;

    report_part("The registry, after");
    keys_read(&after, false);
    keys_compare(&before, &after, name_difference, &differences);
    report_check(before.count > 0 && differences == 0 && before.hash == after.hash &&
                     !before.failed && !after.failed,
                 "no key has come or gone", "%zu keys, hash %016llx; before: %zu, %016llx",
                 after.count, (unsigned long long)after.hash, before.count,
                 (unsigned long long)before.hash);
    keys_deinit(&before);
    keys_deinit(&after);
}
