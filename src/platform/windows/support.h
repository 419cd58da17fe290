/* SPDX-License-Identifier: MIT */
/**
 * @file support.h
 * Small things that several files of the dispatcher's side need: handles, times, texts, chance.
 */
#ifndef BHW_SUPPORT_H
#define BHW_SUPPORT_H

#include <bulkhead/base.h>

#include <windows.h>

#define BHW_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/** Nanoseconds. */
#define BHW_MS INT64_C(1000000)

/* ---- handles ---- */

/** Closes *handle unless it is NULL, and makes it NULL. The thread's last error survives. */
void bhw_close(HANDLE *handle);

/** Who may use what has a name: the user that this process runs as, nobody else. */
struct bhw_security {
    SECURITY_ATTRIBUTES attributes;
    SECURITY_DESCRIPTOR descriptor;
    void *user; /* TOKEN_USER, owned */
    ACL *list;  /* owned */
};
int bhw_security_init(struct bhw_security *security, struct bh_problem *problem);
void bhw_security_deinit(struct bhw_security *security);

/* ---- time ---- */

/** Milliseconds from now to `until` (bhp_now() scale), rounded up; INFINITE for BHP_FOREVER. */
DWORD bhw_milliseconds(int64_t until);
/** Units of 100 ns. */
uint64_t bhw_filetime(const FILETIME *time);

/* ---- chance ---- */

/** An unguessable number. */
uint64_t bhw_random(void);

/* ---- texts ---- */

/** Copies an ASCII text as UTF-16, cut to fit; NUL-terminated. */
void bhw_widen(WCHAR *out, size_t units, const char *text);
/** Copies a text as UTF-8, cut to fit at a character; NUL-terminated. @param text at most `units`
 * units, or up to its NUL */
void bhw_narrow(char *out, size_t size, const WCHAR *text, size_t units);
/** Copies as much of a UTF-8 text as fits with its NUL, cut at a character. */
void bhw_copy_text(char *out, size_t size, const char *text);
/** printf into a WCHAR array; what is printed must be ASCII. */
void bhw_print(WCHAR *out, size_t units, const char *format, ...) BH_PRINTF(3, 4);
/** The system's text for GetLastError(), one line without its full stop; "error N"
 * when it has none. @return text */
char *bhw_error_text(DWORD error, char *text, size_t size);
/** "0x80010105 (The server threw an exception)", or the number alone. @return text */
char *bhw_result_text(HRESULT result, char *text, size_t size);
/** bhi_problem_set() with GetLastError(): "WHAT: TEXT". @return BH_E_MEMORY or BH_E_SYSTEM */
int bhw_problem_last(struct bh_problem *problem, const char *what);

#endif
