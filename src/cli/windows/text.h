/* SPDX-License-Identifier: MIT */
/**
 * @file text.h
 * The program's UTF-8 and the system's UTF-16. Both results are to be freed with free().
 */
#ifndef BULKHEAD_CLI_TEXT_H
#define BULKHEAD_CLI_TEXT_H

#include "../cli.h"

#include <windows.h>

/** NULL when it is no text: half a surrogate pair. */
char *cli_narrow(const WCHAR *wide);
WCHAR *cli_widen(const char *text);

#endif
