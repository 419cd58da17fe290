/* SPDX-License-Identifier: MIT */
/*
 * Handles, security descriptors, random numbers and texts.
 *
 * Invariant: what has a name can be opened by this process's own user only, and its name cannot be
 * guessed.
 */
#include "support.h"

#include "core/alloc.h"
#include "core/platform.h"
#include "core/problem.h"
#include "core/utf8.h"
#include "text16.h"

#include <ntsecapi.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- handles ---- */

/** See support.h. */
void bhw_close(HANDLE *handle)
{
    DWORD error = GetLastError();

    if (*handle != NULL)
        CloseHandle(*handle);
    *handle = NULL;
    SetLastError(error);
}

/* The token's user; NULL and the last error on failure. */
static TOKEN_USER *token_user(void)
{
    TOKEN_USER *user = NULL;
    HANDLE token = NULL;
    DWORD size = 0;

    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
        return NULL;
    GetTokenInformation(token, TokenUser, NULL, 0, &size);
    user = bhi_alloc(size > 0 ? size : 1);
    if (user == NULL)
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    if (user != NULL && !GetTokenInformation(token, TokenUser, user, size, &size)) {
        bhi_free(user);
        user = NULL;
    }
    bhw_close(&token);
    return user;
}

/** See support.h. */
int bhw_security_init(struct bhw_security *security, struct bh_problem *problem)
{
    *security = (struct bhw_security){.user = token_user()};
    if (security->user == NULL)
        return bhw_problem_last(problem, "the user of this process");
    PSID sid = ((TOKEN_USER *)security->user)->User.Sid;
    DWORD size = (DWORD)(sizeof(ACL) + sizeof(ACCESS_ALLOWED_ACE)) + GetLengthSid(sid);
    security->list = bhi_alloc(size);
    if (security->list == NULL)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for an access list");
    if (!InitializeAcl(security->list, size, ACL_REVISION) ||
        !AddAccessAllowedAce(security->list, ACL_REVISION, GENERIC_ALL, sid) ||
        !InitializeSecurityDescriptor(&security->descriptor, SECURITY_DESCRIPTOR_REVISION) ||
        !SetSecurityDescriptorDacl(&security->descriptor, TRUE, security->list, FALSE))
        return bhw_problem_last(problem, "an access list");
    security->attributes = (SECURITY_ATTRIBUTES){.nLength = sizeof(security->attributes),
                                                 .lpSecurityDescriptor = &security->descriptor};
    return BH_OK;
}

/** See support.h. */
void bhw_security_deinit(struct bhw_security *security)
{
    bhi_free(security->list);
    bhi_free(security->user);
    *security = (struct bhw_security){0};
}

/* ---- time, chance ---- */

/** See support.h. */
uint64_t bhw_filetime(const FILETIME *time)
{
    return (uint64_t)time->dwHighDateTime << 32 | time->dwLowDateTime;
}

/** See support.h. */
uint64_t bhw_random(void)
{
    uint64_t number = 0;

    if (!RtlGenRandom(&number, sizeof(number)))
        number = (uint64_t)bhp_now() * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)bhp_utc_ms();
    return number;
}

/* ---- texts ---- */

/** See support.h. */
void bhw_widen(WCHAR *out, size_t units, const char *text)
{
    size_t i = 0;

    for (; i + 1 < units && text[i] != '\0'; i++)
        out[i] = (unsigned char)text[i];
    out[i] = L'\0';
}

/* How many units, whole characters, fit into `room` bytes of UTF-8. */
static size_t fitting(const WCHAR *text, size_t units, size_t room)
{
    size_t i = 0;

    while (i < units && text[i] != L'\0') {
        bool pair = i + 1 < units && IS_SURROGATE_PAIR(text[i], text[i + 1]);
        size_t bytes = text[i] < 0x80 ? 1 : text[i] < 0x800 ? 2 : pair ? 4 : 3;
        if (bytes > room)
            break;
        room -= bytes;
        i += pair ? 2 : 1;
    }
    return i;
}

/** See support.h. */
void bhw_narrow(char *out, size_t size, const WCHAR *text, size_t units)
{
    out[bhw_text16_to_utf8(out, text, fitting(text, units, size - 1))] = '\0';
}

/** See support.h. */
void bhw_copy_text(char *out, size_t size, const char *text)
{
    size_t length = strlen(text);

    if (length >= size)
        length = bhi_utf8_valid_prefix(text, size - 1);
    memcpy(out, text, length);
    out[length] = '\0';
}

/** See support.h. */
void bhw_print(WCHAR *out, size_t units, const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    bhw_widen(out, units, text);
}

/* @return whether the system has a text */
static bool ask_system(DWORD error, char *text, size_t size)
{
    const DWORD flags =
        FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS | FORMAT_MESSAGE_MAX_WIDTH_MASK;
    WCHAR wide[160];

    DWORD length = FormatMessageW(flags, NULL, error, 0, wide, BHW_COUNT(wide), NULL);
    while (length > 0 && (wide[length - 1] <= L' ' || wide[length - 1] == L'.'))
        length--;
    bhw_narrow(text, size, wide, length);
    return length > 0;
}

/** See support.h. */
char *bhw_error_text(DWORD error, char *text, size_t size)
{
    if (!ask_system(error, text, size))
        snprintf(text, size, "error %lu", (unsigned long)error);
    return text;
}

/** See support.h. */
char *bhw_result_text(HRESULT result, char *text, size_t size)
{
    char said[120];
    bool known = ask_system((DWORD)result, said, sizeof(said));

    snprintf(text, size, known ? "0x%08lx (%s)" : "0x%08lx", (unsigned long)result, said);
    return text;
}

/** See support.h. */
int bhw_problem_last(struct bh_problem *problem, const char *what)
{
    DWORD error = GetLastError();
    bool memory = error == ERROR_NOT_ENOUGH_MEMORY || error == ERROR_OUTOFMEMORY;
    char text[160];

    return bhi_problem_set(problem, memory ? BH_E_MEMORY : BH_E_SYSTEM, (int)error, "%s: %s", what,
                           bhw_error_text(error, text, sizeof(text)));
}
