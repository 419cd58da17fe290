/* SPDX-License-Identifier: MIT */
/*
 * From UTF-16 to UTF-8 and back.
 */
#include "text.h"

#include <stdlib.h>

char *cli_narrow(const WCHAR *wide)
{
    int size = WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, wide, -1, NULL, 0, NULL, NULL);
    char *text;

    if (size <= 0)
        return NULL;
    text = malloc((size_t)size);
    if (text == NULL)
        cli_no_memory();
    WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, wide, -1, text, size, NULL, NULL);
    return text;
}

WCHAR *cli_widen(const char *text)
{
    int units = MultiByteToWideChar(CP_UTF8, 0, text, -1, NULL, 0);
    WCHAR *wide = malloc((size_t)units * sizeof *wide);

    if (wide == NULL)
        cli_no_memory();
    MultiByteToWideChar(CP_UTF8, 0, text, -1, wide, units);
    return wide;
}
