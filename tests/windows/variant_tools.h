/* SPDX-License-Identifier: MIT */
/**
 * @file variant_tools.h
 * Values as VARIANTs for tests that call a worker, and blobs as a dispatcher would carry them.
 */
#ifndef BH_TEST_VARIANT_TOOLS_H
#define BH_TEST_VARIANT_TOOLS_H

#include "check.h"

#include "platform/windows/arena.h"
#include "platform/windows/protocol.h"
#include "platform/windows/variant.h"

#include <math.h>
#include <string.h>

static inline VARIANT variant_of(const bh_value *value, struct bhw_blobs *blobs)
{
    struct bh_problem problem = {0};
    VARIANT variant;

    if (bhw_variant_from_value(&variant, value, blobs, &problem) != BH_OK)
        FAIL("bhw_variant_from_value: %s", problem.text);
    return variant;
}

/* The VARIANT stands for this value. */
static inline void check_same(const VARIANT *variant, const bh_value *value,
                              struct bhw_blobs *blobs)
{
    struct bh_problem problem = {0};
    bh_value read;

    if (bhw_value_from_variant(&read, variant, NULL, blobs, &problem) != BH_OK)
        FAIL("bhw_value_from_variant: %s", problem.text);
    if (!bh_value_equal(&read, value))
        FAIL("a %s became another %s", bh_type_name(value->type), bh_type_name(read.type));
    bh_value_deinit(&read);
}

/* What METHODS answers; the first is this one. */
static inline void check_methods(const VARIANT *variant, const char *name, const char *help)
{
    bh_value read, expected_name = bh_value_view(name), expected_help = bh_value_view(help);
    const bh_value *items;
    size_t count;

    CHECK_INT(bhw_value_from_variant(&read, variant, NULL, NULL, NULL), BH_OK);
    CHECK_INT(bh_value_get_array(&read, &items, &count), BH_OK);
    CHECK(count > 0);
    CHECK(bh_value_equal(bh_map_get(&items[0], "name"), &expected_name));
    CHECK(bh_value_equal(bh_map_get(&items[0], "help"), &expected_help));
    bh_value_deinit(&read);
}

/* An array with one value of each type. */
static inline bh_value every_type(void)
{
    static const int32_t i32[] = {INT32_MIN, 0, INT32_MAX};
    static const int64_t i64[] = {INT64_MIN, 0, INT64_MAX};
    static const float f32[] = {-1.5f, 0, 1e30f};
    static const double f64[] = {-1.5, 0, 1e300};
    bh_value map = bh_value_map(), one = bh_value_int64(1), two = bh_value_view("two");
    bh_value all = bh_value_array(), inner = bh_value_array();

    CHECK_INT(bh_map_set(&map, "one", &one), BH_OK);
    CHECK_INT(bh_map_set(&map, "two", &two), BH_OK);
    one = bh_value_int64(1);
    two = bh_value_view("two");
    CHECK_INT(bh_array_push(&inner, &one), BH_OK);
    CHECK_INT(bh_array_push(&inner, &two), BH_OK);
    bh_value items[] = {
        bh_value_null(),
        bh_value_bool(true),
        bh_value_int64(INT64_MIN),
        bh_value_uint64(UINT64_MAX),
        bh_value_double(INFINITY),
        bh_value_timestamp(INT64_C(1700000000123)),
        bh_value_view("\xe2\x82\xac \xf0\x9f\x98\x80"),
        bh_value_view_string("a\0b", 3),
        bh_value_view_bytes("\0\1\2\xff", 4),
        bh_value_view_error(-7, "seven"),
        bh_value_view_i32(i32, 3),
        bh_value_view_i64(i64, 3),
        bh_value_view_f32(f32, 3),
        bh_value_view_f64(f64, 3),
        inner,
        map,
    };
    for (size_t i = 0; i < sizeof items / sizeof *items; i++)
        CHECK_INT(bh_array_push(&all, &items[i]), BH_OK);
    return all;
}

/* ---- blobs ----------------------------------------------------------------------------------- */

/* The two arenas of a worker, as a dispatcher made by hand has them. One payload at a time. */
struct arenas {
    HANDLE worker;
    struct bhw_call_section *call;
    volatile struct bhw_box_section *box;
    unsigned char *request;
    size_t room; /* of `request` */
    void *reply;
    uint32_t request_generation, reply_generation;
    int got;
};

#define ARENAS_PLACE 40

/* A new section for requests. */
static inline void arenas_grow(struct arenas *arenas, size_t bytes)
{
    HANDLE section =
        CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, (DWORD)bytes, NULL);
    HANDLE there;

    if (arenas->request != NULL)
        UnmapViewOfFile(arenas->request);
    arenas->request = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, bytes);
    arenas->room = bytes;
    CHECK(arenas->request != NULL);
    CHECK(DuplicateHandle(GetCurrentProcess(), section, arenas->worker, &there,
                          FILE_MAP_READ | SECTION_QUERY, FALSE, DUPLICATE_CLOSE_SOURCE));
    atomic_store(&arenas->call->request.handle, (uint64_t)(uintptr_t)there);
    atomic_store(&arenas->call->request.generation, ++arenas->request_generation);
}

static inline int arenas_put(void *context, const void *data, size_t bytes, uint64_t *name)
{
    struct arenas *arenas = context;

    if (bytes > arenas->room)
        arenas_grow(arenas, bytes);
    memcpy(arenas->request, data, bytes);
    *name = (uint64_t)arenas->request_generation << ARENAS_PLACE;
    return BH_OK;
}

static inline void arenas_fetch(struct arenas *arenas)
{
    HANDLE there = (HANDLE)(uintptr_t)arenas->box->reply.handle, section;

    if (arenas->reply != NULL)
        UnmapViewOfFile(arenas->reply);
    CHECK(DuplicateHandle(arenas->worker, there, GetCurrentProcess(), &section, FILE_MAP_READ,
                          FALSE, DUPLICATE_CLOSE_SOURCE));
    arenas->reply = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
    CHECK(arenas->reply != NULL);
    CloseHandle(section);
    arenas->reply_generation = arenas->box->reply.generation;
    atomic_store(&arenas->call->reply_taken, arenas->reply_generation);
}

static inline int arenas_find(void *context, uint64_t name, size_t bytes, const void **data)
{
    struct arenas *arenas = context;

    (void)bytes;
    CHECK_INT(name >> ARENAS_PLACE, arenas->box->reply.generation);
    if (name >> ARENAS_PLACE != arenas->reply_generation)
        arenas_fetch(arenas);
    *data = (unsigned char *)arenas->reply + (name & ((UINT64_C(1) << ARENAS_PLACE) - 1));
    arenas->got++;
    return BH_OK;
}

static inline struct bhw_blobs arenas_blobs(struct arenas *arenas, size_t threshold)
{
    return (struct bhw_blobs){
        .threshold = threshold, .context = arenas, .put = arenas_put, .find = arenas_find};
}

static inline void arenas_free(struct arenas *arenas)
{
    if (arenas->request != NULL)
        UnmapViewOfFile(arenas->request);
    if (arenas->reply != NULL)
        UnmapViewOfFile(arenas->reply);
}

#endif
