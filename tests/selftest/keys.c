/* SPDX-License-Identifier: MIT */
/*
 * A walk over the registry's COM keys.
 *
 * Model: the 64-bit view, in which the 32-bit one is a subkey (Wow6432Node), so that nothing is
 * seen twice or redirected. A key that may not be read counts by its name alone.
 */
#include "keys.h"

#include <windows.h>

#include <stdlib.h>

#define PATH_UNITS 2048
#define NAME_UNITS 256
#define VALUE_NAME_UNITS 16384

static const struct {
    HKEY hive;
    const wchar_t *path;
    const wchar_t *shown;
} roots[] = {
    {HKEY_LOCAL_MACHINE, L"Software\\Classes", L"HKLM\\Software\\Classes"},
    {HKEY_LOCAL_MACHINE, L"Software\\Classes\\Wow6432Node",
     L"HKLM\\Software\\Classes\\Wow6432Node"},
    {HKEY_CURRENT_USER, L"Software\\Classes", L"HKCU\\Software\\Classes"},
    {HKEY_CURRENT_USER, L"Software\\Classes\\Wow6432Node", L"HKCU\\Software\\Classes\\Wow6432Node"},
};
static const wchar_t *const branches[] = {L"CLSID", L"AppID", L"TypeLib", L"Interface"};

struct walk {
    struct keys *keys;
    bool with_values;
    wchar_t path[PATH_UNITS]; /* shown; of the key at hand */
};

/* ---- the list -------------------------------------------------------------------------------- */

static void add(struct keys *keys, const wchar_t *name)
{
    if (keys->count == keys->room) {
        size_t room = keys->room > 0 ? keys->room * 2 : 4096;
        wchar_t **names = realloc(keys->names, room * sizeof *names);
        if (names == NULL) {
            keys->failed = true;
            return;
        }
        keys->names = names;
        keys->room = room;
    }
    keys->names[keys->count] = _wcsdup(name);
    if (keys->names[keys->count] != NULL)
        keys->count++;
    else
        keys->failed = true;
}

static int compare(const void *a, const void *b)
{
    return wcscmp(*(wchar_t *const *)a, *(wchar_t *const *)b);
}

static uint64_t hash_more(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* ---- the walk -------------------------------------------------------------------------------- */

static void add_value(struct walk *walk, HKEY key, const wchar_t *name)
{
    static wchar_t line[PATH_UNITS + VALUE_NAME_UNITS + 64];
    static BYTE data[65536];
    DWORD size = sizeof data, type = 0;

    if (RegQueryValueExW(key, name, NULL, &type, data, &size) != ERROR_SUCCESS)
        size = 0;
    uint64_t hash = hash_more(UINT64_C(0xcbf29ce484222325), data, size);
    swprintf(line, sizeof line / sizeof *line, L"%ls [%ls] type %lu, %lu bytes, %016llx",
             walk->path, name, (unsigned long)type, (unsigned long)size, (unsigned long long)hash);
    add(walk->keys, line);
}

static void add_values(struct walk *walk, HKEY key)
{
    static wchar_t name[VALUE_NAME_UNITS];
    DWORD units = VALUE_NAME_UNITS;

    for (DWORD i = 0; RegEnumValueW(key, i, name, &units, NULL, NULL, NULL, NULL) == ERROR_SUCCESS;
         i++) {
        add_value(walk, key, name);
        units = VALUE_NAME_UNITS;
    }
}

static void visit(struct walk *walk, HKEY parent, const wchar_t *name);

static void visit_children(struct walk *walk, HKEY key)
{
    wchar_t name[NAME_UNITS];
    DWORD units = NAME_UNITS;
    size_t end = wcslen(walk->path);

    for (DWORD i = 0; RegEnumKeyExW(key, i, name, &units, NULL, NULL, NULL, NULL) == ERROR_SUCCESS;
         i++) {
        if (end + 1 + units < PATH_UNITS) {
            walk->path[end] = L'\\';
            wcscpy(walk->path + end + 1, name);
            visit(walk, key, name);
            walk->path[end] = L'\0';
        }
        units = NAME_UNITS;
    }
}

static void visit(struct walk *walk, HKEY parent, const wchar_t *name)
{
    HKEY key;

    add(walk->keys, walk->path);
    if (RegOpenKeyExW(parent, name, REG_OPTION_OPEN_LINK, KEY_READ | KEY_WOW64_64KEY, &key) !=
        ERROR_SUCCESS)
        return;
    if (walk->with_values)
        add_values(walk, key);
    visit_children(walk, key);
    RegCloseKey(key);
}

static void visit_root(struct walk *walk, size_t at)
{
    HKEY key, branch;

    if (RegOpenKeyExW(roots[at].hive, roots[at].path, 0, KEY_READ | KEY_WOW64_64KEY, &key) !=
        ERROR_SUCCESS)
        return;
    for (size_t i = 0; i < sizeof branches / sizeof branches[0]; i++) {
        if (RegOpenKeyExW(key, branches[i], 0, KEY_READ | KEY_WOW64_64KEY, &branch) !=
            ERROR_SUCCESS)
            continue;
        RegCloseKey(branch);
        swprintf(walk->path, PATH_UNITS, L"%ls\\%ls", roots[at].shown, branches[i]);
        visit(walk, key, branches[i]);
    }
    RegCloseKey(key);
}

void keys_read(struct keys *keys, bool with_values)
{
    static struct walk walk; /* too large for a stack */

    *keys = (struct keys){.hash = UINT64_C(0xcbf29ce484222325)};
    walk.keys = keys;
    walk.with_values = with_values;
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++)
        visit_root(&walk, i);
    if (keys->count > 0)
        qsort(keys->names, keys->count, sizeof *keys->names, compare);
    for (size_t i = 0; i < keys->count; i++)
        keys->hash = hash_more(keys->hash, keys->names[i],
                               (wcslen(keys->names[i]) + 1) * sizeof *keys->names[i]);
}

void keys_deinit(struct keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        free(keys->names[i]);
    free(keys->names);
    *keys = (struct keys){0};
}

void keys_compare(const struct keys *before, const struct keys *after,
                  void (*tell)(void *context, const wchar_t *name, bool is_new), void *context)
{
    size_t i = 0, j = 0;

    while (i < before->count || j < after->count) {
        int order = i == before->count  ? 1
                    : j == after->count ? -1
                                        : wcscmp(before->names[i], after->names[j]);
        if (order < 0)
            tell(context, before->names[i], false);
        if (order > 0)
            tell(context, after->names[j], true);
        i += order <= 0;
        j += order >= 0;
    }
}
