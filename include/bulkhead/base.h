/* SPDX-License-Identifier: MIT */
/**
 * @file base.h
 * What every other header of Bulkhead stands on: the version, the export macro, error codes and the
 * problem record that carries an error's text.
 *
 * Errors. A function that can fail returns an `int`: BH_OK (0) or one of the codes below. Functions
 * that can say more take a `struct bh_problem *`, which may be NULL. The death of a worker is never
 * an error code: it is data, `struct bh_death` in <bulkhead/pool.h>.
 */
#ifndef BULKHEAD_BASE_H
#define BULKHEAD_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BH_VERSION_MAJOR 0
#define BH_VERSION_MINOR 1
#define BH_VERSION_PATCH 0
#define BH_VERSION "0.1.0"

#if defined(_WIN32) && defined(BH_SHARED)
#ifdef BH_BUILDING
#define BH_API __declspec(dllexport)
#else
#define BH_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define BH_API __attribute__((visibility("default")))
#else
#define BH_API
#endif

/** Puts a symbol of a plug-in where `bulkhead-host` can find it, whatever the default visibility.
 */
#if defined(_WIN32)
#define BH_EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define BH_EXPORT __attribute__((visibility("default")))
#else
#define BH_EXPORT
#endif

/** Lets a compiler that can do so check a format string: `a` is its position, `b` the first
 * argument's. */
#if defined(__GNUC__)
#define BH_PRINTF(a, b) __attribute__((format(printf, a, b)))
#else
#define BH_PRINTF(a, b)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Every error code: X(name, number, text). The enum, bh_error_name() and bh_error_text() are made
 * from this one list. Numbers never change once released.
 */
#define BH_ERROR_LIST(X)                                                                           \
    X(BH_OK, 0, "success")                                                                         \
    X(BH_E_MEMORY, 1, "out of memory")                                                             \
    X(BH_E_INVALID, 2, "invalid argument")                                                         \
    X(BH_E_TYPE, 3, "value has another type")                                                      \
    X(BH_E_RANGE, 4, "value out of range")                                                         \
    X(BH_E_SYNTAX, 5, "malformed text or message")                                                 \
    X(BH_E_DEPTH, 6, "nested too deep")                                                            \
    X(BH_E_TOO_LARGE, 7, "too large")                                                              \
    X(BH_E_UTF8, 8, "not valid UTF-8")                                                             \
    X(BH_E_DUPLICATE, 9, "duplicate key")                                                          \
    X(BH_E_NOT_FOUND, 10, "not found")                                                             \
    X(BH_E_SYSTEM, 11, "the operating system refused")                                             \
    X(BH_E_UNSUPPORTED, 12, "not supported on this system")                                        \
    X(BH_E_FORKED, 13, "the pool belongs to the process that opened it, not to its forked child")  \
    X(BH_E_CLOSED, 14, "the pool is closing")                                                      \
    X(BH_E_START, 15, "the worker cannot be started")                                              \
    X(BH_E_STATE, 16, "not allowed in this state")                                                 \
    X(BH_E_FAILED, 17, "the other side answered that it failed")                                   \
    X(BH_E_CANCELLED, 18, "the request was taken away")                                            \
    X(BH_E_LOST, 19, "the worker has ended")

enum bh_error {
#define BH_ERROR_ENUM(name, number, text) name = number,
    BH_ERROR_LIST(BH_ERROR_ENUM)
#undef BH_ERROR_ENUM
};

/** What went wrong, for a person: the code, the system's own error number if there was one, and one
 * line without a newline that names what was wrong and where. Filled only on failure. */
struct bh_problem {
    int code;        /**< an enum bh_error */
    int os_error;    /**< errno or GetLastError(); 0 when the system was not the cause. BH_E_FAILED:
                          the number that the other side failed with */
    uint32_t line;   /**< of a text that was parsed, from 1; 0 when it does not apply */
    uint32_t column; /**< in characters, from 1; 0 when it does not apply */
    char text[232];  /**< NUL-terminated UTF-8 */
};

/** The code's name, "BH_E_SYNTAX"; "BH_E_?" for an unknown number. Static string. Any thread. */
BH_API const char *bh_error_name(int code);

/** The code's text; "unknown error" for an unknown number. Static string. Any thread. */
BH_API const char *bh_error_text(int code);

/** The version of the library in use, "MAJOR.MINOR.PATCH". Static string. Any thread. */
BH_API const char *bh_version(void);

/** Frees memory that the library handed out as text or bytes (bh_json_write(), …). NULL is fine. It
 * is free() of the library's own C runtime, which on Windows need not be the caller's. */
BH_API void bh_free(void *memory);

#ifdef __cplusplus
}
#endif
#endif
