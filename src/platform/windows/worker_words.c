/* SPDX-License-Identifier: MIT */
/*
 * The words of a worker's command line in UTF-8.
 *
 * Model: main() was given them in the system's code page, in which not every text can be said. The
 * command line itself is UTF-16; what splits it as the C runtime does lies in shell32, which is
 * loaded only where the code page could make a difference.
 *
 * Invariant: what cannot be done better is left as it was: main()'s own words.
 */
#include "worker_end.h"

#include "core/alloc.h"
#include "text16.h"

typedef WCHAR **(WINAPI *split_fn)(const WCHAR *line, int *count);

static bool is_ascii(const WCHAR *text)
{
    while (*text != L'\0' && *text < 0x80)
        text++;
    return *text == L'\0';
}

/* To be freed with LocalFree(). */
static WCHAR **split(const WCHAR *line, int *count)
{
    HMODULE shell = LoadLibraryW(L"shell32.dll");
    FARPROC found = shell != NULL ? GetProcAddress(shell, "CommandLineToArgvW") : NULL;
    split_fn function = (split_fn)(void (*)(void))found;
    WCHAR **words = function != NULL ? function(line, count) : NULL;

    if (shell != NULL)
        FreeLibrary(shell);
    return words;
}

static char **to_utf8(WCHAR *const *words, int count)
{
    char **texts = bhi_alloc(((size_t)count + 1) * sizeof *texts);

    for (int i = 0; texts != NULL && i < count; i++) {
        texts[i] = bhw_text16_new_utf8((const uint16_t *)words[i]);
        if (texts[i] == NULL)
            return NULL;
    }
    if (texts != NULL)
        texts[count] = NULL;
    return texts;
}

char **bhi_channel_words(int argc, char **argv)
{
    const WCHAR *line = GetCommandLineW();
    int count = 0;
    WCHAR **words = is_ascii(line) ? NULL : split(line, &count);
    char **texts = words != NULL && count == argc ? to_utf8(words, count) : NULL;

    LocalFree(words);
    return texts != NULL ? texts : argv;
}
