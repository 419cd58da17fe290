/* SPDX-License-Identifier: MIT */
/*
 * SAFEARRAYs whose descriptions lie, one lie at a time and then a hundred thousand at random. What
 * is read lies between two pages that fault, so that one byte too many is a crash.
 *
 * A pointer cannot be checked by the one who is given it, so none is made up here, but for NULL.
 */
#include "unit/failing_alloc.h"
#include "unit/random_value.h"

#include "platform/windows/variant.h"

#include <stdlib.h>

static struct bh_problem problem;

/* ---- one lie at a time ----------------------------------------------------------------------- */

/* A description with what lies in front of it, as SafeArrayAllocDescriptor() makes it. */
struct described {
    ULONG hidden[4]; /* the last one is the elements' type, with FADF_HAVEVARTYPE */
    union {
        SAFEARRAY array;
        unsigned char room[sizeof(SAFEARRAY) + 3 * sizeof(SAFEARRAYBOUND)];
    } as;
};

/* The bounds, the last index first; there is room for four. */
static SAFEARRAYBOUND *bounds_of(struct described *described)
{
    return (void *)(described->as.room + offsetof(SAFEARRAY, rgsabound));
}

static unsigned char data[4096];

static struct described description(VARTYPE vt, USHORT features, ULONG size, USHORT dimensions)
{
    struct described made;

    memset(&made, 0, sizeof(made));
    made.hidden[3] = vt;
    made.as.array.cDims = dimensions;
    made.as.array.fFeatures = features;
    made.as.array.cbElements = size;
    made.as.array.pvData = data;
    for (unsigned i = 0; i < dimensions; i++)
        bounds_of(&made)[i].cElements = 2;
    return made;
}

static int read_as(struct described *described, VARTYPE vt)
{
    const struct bh_value_limits limits = {0, 1000, sizeof(data)};
    VARIANT variant;
    bh_value value;

    V_VT(&variant) = VT_ARRAY | vt;
    V_ARRAY(&variant) = &described->as.array;
    int rc = bhw_value_from_variant(&value, &variant, &limits, NULL, &problem);
    bh_value_deinit(&value);
    return rc;
}

TEST(sizes_of_elements_must_be_right)
{
    for (ULONG size = 0; size < 40; size++) {
        struct described made = description(VT_I4, 0, size, 1);
        CHECK_INT(read_as(&made, VT_I4), size == 4 ? BH_OK : BH_E_SYNTAX);
    }
}

TEST(dimensions_must_be_known)
{
    static const USHORT wrong[] = {0, 2, 3, 4, 64, 65535};

    for (int i = 0; i < 6; i++) {
        struct described made = description(VT_I4, 0, 4, 1);
        made.as.array.cDims = wrong[i];
        CHECK_INT(read_as(&made, VT_I4), BH_E_TYPE);
    }
}

TEST(bounds_are_compared_with_the_limits_first)
{
    struct described made = description(VT_I4, 0, 4, 1);
    struct described table = description(VT_VARIANT, FADF_VARIANT, sizeof(VARIANT), 2);

    bounds_of(&made)[0].cElements = 1024;
    CHECK_INT(read_as(&made, VT_I4), BH_E_TOO_LARGE); /* a header besides */
    bounds_of(&made)[0].cElements = 1022;
    CHECK_INT(read_as(&made, VT_I4), BH_OK);
    bounds_of(&made)[0].cElements = UINT32_MAX;
    CHECK_INT(read_as(&made, VT_I4), BH_E_TOO_LARGE);
    bounds_of(&made)[0].lLbound = INT32_MAX;
    CHECK_INT(read_as(&made, VT_I4), BH_E_TOO_LARGE);
    bounds_of(&table)[1].cElements = UINT32_MAX;
    CHECK_INT(read_as(&table, VT_VARIANT), BH_E_TOO_LARGE);
    bounds_of(&table)[1].cElements = 501;
    CHECK_INT(read_as(&table, VT_VARIANT), BH_E_TOO_LARGE);
    table = description(VT_VARIANT, FADF_VARIANT, sizeof(VARIANT), 3);
    for (int i = 0; i < 3; i++)
        bounds_of(&table)[i].cElements = UINT32_MAX;
    CHECK_INT(read_as(&table, VT_VARIANT), BH_E_TOO_LARGE); /* overflows */
    CHECK_STR(problem.text, "VT_ARRAY|VT_VARIANT is larger than the memory");
}

/* Whichever limit it is, nothing is allocated for what exceeds it. */
TEST(limits_come_before_memory)
{
    static const struct bh_value_limits narrow[] = {{0, 100, 0}, {0, 0, 800}, {0, 100, 800}};
    struct described made = description(VT_UI8, 0, 8, 1);
    VARIANT variant;
    bh_value value;

    V_VT(&variant) = VT_ARRAY | VT_UI8;
    V_ARRAY(&variant) = &made.as.array;
    bounds_of(&made)[0].cElements = 101;
    bhi_alloc_hook = failing_heap_hook;
    for (int i = 0; i < 3; i++) {
        heap = (struct failing_heap){0, 0, false};
        CHECK_INT(bhw_value_from_variant(&value, &variant, &narrow[i], NULL, NULL), BH_E_TOO_LARGE);
        CHECK(!heap.refused);
    }
    bhi_alloc_hook = NULL;
}

TEST(data_must_be_there)
{
    struct described made = description(VT_I4, 0, 4, 1);
    struct described table = description(VT_VARIANT, FADF_VARIANT, sizeof(VARIANT), 2);

    made.as.array.pvData = NULL;
    CHECK_INT(read_as(&made, VT_I4), BH_E_SYNTAX);
    CHECK_STR(problem.text, "VT_ARRAY|VT_I4 has no data");
    bounds_of(&made)[0].cElements = 0;
    CHECK_INT(read_as(&made, VT_I4), BH_OK);
    table.as.array.pvData = NULL;
    CHECK_INT(read_as(&table, VT_VARIANT), BH_E_SYNTAX);
    bounds_of(&table)[1].cElements = 0;
    CHECK_INT(read_as(&table, VT_VARIANT), BH_OK);
}

/* A number is never taken for a pointer. */
TEST(elements_that_are_pointers_must_be_said_to_be)
{
    static const USHORT kinds[] = {0,
                                   FADF_BSTR,
                                   FADF_VARIANT,
                                   FADF_UNKNOWN,
                                   FADF_DISPATCH,
                                   FADF_RECORD,
                                   FADF_BSTR | FADF_VARIANT,
                                   FADF_HAVEIID | FADF_UNKNOWN,
                                   FADF_HAVEVARTYPE};

    for (int i = 0; i < 9; i++) {
        struct described text = description(VT_BSTR, kinds[i], sizeof(BSTR), 1);
        struct described any = description(VT_VARIANT, kinds[i], sizeof(VARIANT), 1);
        struct described number = description(VT_I8, kinds[i], 8, 1);
        bool plain = kinds[i] == 0 || kinds[i] == FADF_HAVEVARTYPE;
        CHECK_INT(read_as(&text, VT_BSTR), kinds[i] == FADF_BSTR ? BH_OK : BH_E_SYNTAX);
        CHECK_INT(read_as(&any, VT_VARIANT), kinds[i] == FADF_VARIANT ? BH_OK : BH_E_SYNTAX);
        CHECK_INT(read_as(&number, VT_I8), plain ? BH_OK : BH_E_SYNTAX);
    }
    struct described text = description(VT_I8, FADF_BSTR | FADF_HAVEVARTYPE, sizeof(BSTR), 1);
    CHECK_INT(read_as(&text, VT_BSTR), BH_E_SYNTAX);
    CHECK_STR(problem.text,
              "VT_ARRAY|VT_BSTR says something else about its elements than its SAFEARRAY");
    text.hidden[3] = VT_BSTR;
    CHECK_INT(read_as(&text, VT_BSTR), BH_OK);
}

TEST(shapes_of_our_own_must_be_whole)
{
    struct described made = description(VT_VARIANT, FADF_VARIANT, sizeof(VARIANT), 3);
    VARIANT *parts = (VARIANT *)(void *)data;
    static const ULONG extents[][3] = {{2, 1, 2}, {2, 2, 1}, {1, 1, 1}, {4, 1, 1}, {0, 1, 1}};

    memset(data, 0, sizeof(data));
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < 3; j++)
            bounds_of(&made)[j].cElements = extents[i][j]; /* the last index first */
        CHECK_INT(read_as(&made, VT_VARIANT), BH_E_TYPE);
    }
    for (int j = 0; j < 3; j++)
        bounds_of(&made)[j].cElements = j == 0 ? 2 : 1;
    CHECK_INT(read_as(&made, VT_VARIANT), BH_E_TYPE);
    CHECK_STR(problem.text, "an error (1 x 1 x 2) begins with VT_ERROR or VT_I4");
    V_VT(&parts[0]) = VT_I2;
    CHECK_INT(read_as(&made, VT_VARIANT), BH_E_TYPE);
    CHECK_STR(problem.text, "an error (1 x 1 x 2) ends in a VT_BSTR");
    V_VT(&parts[1]) = VT_BSTR; /* NULL: an empty text */
    CHECK_INT(read_as(&made, VT_VARIANT), BH_OK);
    memset(data, 0, sizeof(data));
}

/* ---- random lies ----------------------------------------------------------------------------- */

/* BH_FUZZ_ROUNDS and BH_FUZZ_SEED in the environment ask for a longer or another run. */
#define ROUNDS 100000
#define PAGE 4096u

/* What a tree of VARIANTs is made of: each block ends where a page ends that faults. Only so many
 * bytes are read as the limit allows, and every block has room for those. */
struct arena {
    unsigned char *pages;
    unsigned used;
    unsigned count;
};

static void arena_init(struct arena *arena, unsigned count)
{
    DWORD before;

    arena->pages =
        VirtualAlloc(NULL, (SIZE_T)count * 2 * PAGE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    CHECK(arena->pages != NULL);
    for (unsigned i = 0; i < count; i++)
        CHECK(VirtualProtect(arena->pages + (2 * i + 1) * PAGE, PAGE, PAGE_NOACCESS, &before));
    arena->used = 0;
    arena->count = count;
}

/* The last `size` bytes of a page, zero. */
static void *take(struct arena *arena, size_t size)
{
    CHECK(size <= PAGE && arena->used < arena->count);
    unsigned char *block = arena->pages + (size_t)(2 * arena->used++ + 1) * PAGE - size;
    memset(block, 0, size);
    return block;
}

static const VARTYPE good_types[] = {
    VT_EMPTY,   VT_NULL,    VT_I1,      VT_I2,      VT_I4,   VT_I8,    VT_UI1,
    VT_UI2,     VT_UI4,     VT_UI8,     VT_INT,     VT_UINT, VT_R4,    VT_R8,
    VT_CY,      VT_DATE,    VT_BOOL,    VT_DECIMAL, VT_BSTR, VT_ERROR, VT_BSTR,
    VT_VARIANT, VT_VARIANT, VT_VARIANT, VT_VARIANT,
};
static const VARTYPE bad_types[] = {VT_DISPATCH, VT_UNKNOWN, VT_RECORD, VT_LPWSTR, VT_CLSID};

static VARTYPE random_type(uint64_t *seed)
{
    if (random_below(seed, 50) == 0)
        return bad_types[random_below(seed, 5)];
    return good_types[random_below(seed, sizeof(good_types) / sizeof(good_types[0]))];
}

static void random_variant(uint64_t *seed, struct arena *arena, VARIANT *out, unsigned depth);

static size_t size_of(VARTYPE vt)
{
    static const unsigned char sizes[] = {
        [VT_I1] = 1,       [VT_UI1] = 1, [VT_I2] = 2,    [VT_UI2] = 2,
        [VT_BOOL] = 2,     [VT_I4] = 4,  [VT_UI4] = 4,   [VT_INT] = 4,
        [VT_UINT] = 4,     [VT_R4] = 4,  [VT_ERROR] = 4, [VT_VARIANT] = sizeof(VARIANT),
        [VT_DECIMAL] = 16,
    };

    return vt < sizeof(sizes) && sizes[vt] ? sizes[vt] : 8;
}

static void random_elements(uint64_t *seed, struct arena *arena, VARTYPE vt, void *elements,
                            unsigned count, unsigned depth)
{
    unsigned char *bytes = elements;

    for (unsigned i = 0; i < count; i++) {
        if (vt == VT_VARIANT)
            random_variant(seed, arena, (VARIANT *)elements + i, depth);
        else if (vt != VT_BSTR) /* which stay NULL */
            for (size_t j = 0; j < size_of(vt); j++)
                bytes[i * size_of(vt) + j] = (unsigned char)random_bits(seed);
    }
}

/* Extents of a shape that is read, for the most part; the last index first. */
static void random_extents(uint64_t *seed, unsigned dimensions, ULONG extents[3])
{
    extents[0] = random_below(seed, 4);
    extents[1] = extents[2] = 1;
    if (dimensions == 2) {
        extents[1] = extents[0];
        extents[0] = random_below(seed, 8) ? 2 : 3;
    } else if (dimensions == 3 && random_below(seed, 8) == 0) {
        extents[1] = random_below(seed, 3);
    }
}

/* Makes a table a map, and three VARIANTs a reference. */
static void make_shape(uint64_t *seed, const struct described *made, const ULONG extents[3])
{
    static BSTR keys[3];
    VARIANT *cells = made->as.array.pvData;

    for (unsigned i = 0; i < 3 && !keys[i]; i++)
        keys[i] = SysAllocStringLen(L"key", i);
    for (unsigned i = 0; made->as.array.cDims == 2 && i < extents[1]; i++) {
        V_VT(&cells[i]) = VT_BSTR;
        V_BSTR(&cells[i]) = keys[random_below(seed, 8) ? i : 0];
    }
    for (unsigned i = 0; made->as.array.cDims == 3 && i < extents[0]; i++) {
        V_VT(&cells[i]) = extents[0] == 2 ? (i ? VT_BSTR : VT_ERROR) : i ? VT_UI8 : VT_UI1;
        V_UI8(&cells[i]) = i == 0 ? BH_BYTES + random_below(seed, 7) : random_below(seed, 100) * 8;
        if (V_VT(&cells[i]) == VT_BSTR)
            V_BSTR(&cells[i]) = keys[2];
    }
}

/* An array as it should be. One with no elements has data nevertheless, for lies to uncover. */
static SAFEARRAY *random_array_of(uint64_t *seed, struct arena *arena, VARTYPE vt, unsigned depth)
{
    struct described *made = take(arena, sizeof(*made));
    unsigned dimensions = vt == VT_VARIANT || vt == VT_I8 ? 1 + random_below(seed, 3) : 1;
    unsigned count = 1;
    ULONG extents[3];

    made->hidden[3] = vt;
    made->as.array.cDims = (USHORT)dimensions;
    made->as.array.cbElements = (ULONG)size_of(vt);
    made->as.array.fFeatures = vt == VT_BSTR ? FADF_BSTR : vt == VT_VARIANT ? FADF_VARIANT : 0;
    if (random_below(seed, 2))
        made->as.array.fFeatures |= FADF_HAVEVARTYPE;
    random_extents(seed, dimensions, extents);
    for (unsigned i = 0; i < dimensions; i++) {
        bounds_of(made)[i].cElements = extents[i];
        bounds_of(made)[i].lLbound = (LONG)random_word(seed);
        count *= extents[i] ? extents[i] : 1;
    }
    made->as.array.pvData = take(arena, count * size_of(vt));
    random_elements(seed, arena, vt, made->as.array.pvData, count, depth);
    if (vt == VT_VARIANT && extents[0] * extents[1] * extents[2] > 0 && random_below(seed, 8))
        make_shape(seed, made, extents);
    return &made->as.array;
}

static void random_variant(uint64_t *seed, struct arena *arena, VARIANT *out, unsigned depth)
{
    VARTYPE vt = random_type(seed);
    SAFEARRAY **place;

    V_UI8(out) = random_word(seed);
    V_VT(out) = vt;
    if (vt == VT_BSTR || vt == VT_DISPATCH || vt == VT_UNKNOWN || vt == VT_LPWSTR)
        V_UI8(out) = 0;
    if (vt != VT_VARIANT || depth == 0)
        return;
    vt = random_type(seed);
    V_VT(out) = VT_ARRAY | vt;
    V_ARRAY(out) = random_array_of(seed, arena, vt, depth - 1);
    if (random_below(seed, 4) == 0) {
        place = take(arena, sizeof(*place));
        *place = V_ARRAY(out);
        V_VT(out) |= VT_BYREF;
        V_ARRAYREF(out) = place;
    }
}

/* Lies that never make more be read than there is: a pointer becomes NULL, an extent smaller or far
 * larger than any limit, a description what it is not. */
static void lie(uint64_t *seed, SAFEARRAY *array)
{
    SAFEARRAYBOUND *bound = array->rgsabound + random_below(seed, array->cDims);
    ULONG huge = UINT32_MAX - random_below(seed, 1000);

    switch (random_below(seed, 6)) {
    case 0:
        array->pvData = NULL;
        break;
    case 1:
        bound->cElements = random_below(seed, bound->cElements + 1);
        break;
    case 2:
        bound->cElements = random_below(seed, 2) ? huge : 1u << (16 + random_below(seed, 16));
        break;
    case 3:
        array->cbElements = (ULONG)random_word(seed);
        break;
    case 4:
        array->cDims = (USHORT)random_word(seed);
        if (array->cDims % 2)
            array->cDims %= 5;
        break;
    default:
        array->fFeatures = (USHORT)random_bits(seed);
    }
}

/* Tells a lie in about half of all arrays, which are in the pages of the arena that begin with what
 * lies in front of a description. */
static void lie_somewhere(uint64_t *seed, VARIANT *root)
{
    for (int i = 0; i < 8 && (V_VT(root) & VT_ARRAY); i++) {
        SAFEARRAY *array = V_VT(root) & VT_BYREF ? *V_ARRAYREF(root) : V_ARRAY(root);
        ULONG count = array->rgsabound[0].cElements;
        if ((V_VT(root) & VT_BYREF) && random_below(seed, 8) == 0) {
            V_BYREF(root) = NULL;
            return;
        }
        bool deeper = (V_VT(root) & VT_TYPEMASK) == VT_VARIANT && array->cDims == 1 && count > 0;
        if (!deeper || random_below(seed, 3) == 0) {
            lie(seed, array);
            return;
        }
        root = (VARIANT *)array->pvData + random_below(seed, count);
    }
    V_VT(root) = (VARTYPE)(random_bits(seed) & (VT_TYPEMASK | VT_VECTOR | 0x8000));
    if (V_VT(root) == VT_BSTR)
        V_BSTR(root) = NULL;
}

static int hostile_find(void *context, uint64_t name, size_t bytes, const void **found)
{
    static const unsigned char nothing[1024];

    (void)context;
    *found = nothing;
    return name % 2 && bytes <= sizeof(nothing) ? BH_OK : BH_E_SYNTAX;
}

TEST_TIMEOUT(random_lies_are_survived, 60)
{
    const struct bh_value_limits limits = {8, 1000, 32768};
    struct bhw_blobs blobs = {.find = hostile_find};
    const char *more = getenv("BH_FUZZ_ROUNDS");
    const char *other = getenv("BH_FUZZ_SEED");
    int64_t until = more ? INT64_MAX : kit_now_ms() + 20000;
    int most = more ? atoi(more) : ROUNDS;
    struct arena arena;
    uint64_t seed = other ? strtoull(other, NULL, 0) : 6;
    int results[17] = {0};
    int rounds = 0;

    arena_init(&arena, 4096);
    bhi_alloc_hook = failing_heap_hook;
    heap = (struct failing_heap){0, -1, false};
    for (; rounds < most && kit_now_ms() < until; rounds++) {
        VARIANT root;
        bh_value value;
        do {
            arena.used = 0;
            random_variant(&seed, &arena, &root, 4);
        } while (rounds % 8 && !(V_VT(&root) & VT_ARRAY));
        if (rounds % 4)
            lie_somewhere(&seed, &root);
        int rc = bhw_value_from_variant(&value, &root, &limits, &blobs, &problem);
        CHECK(rc >= 0 && rc < 17);
        results[rc]++;
        CHECK(rc == BH_OK || (value.type == BH_NULL && problem.code == rc));
        bh_value_deinit(&value);
        CHECK_INT(heap.alive, 0);
    }
    bhi_alloc_hook = NULL;
    VirtualFree(arena.pages, 0, MEM_RELEASE);
    CHECK(results[BH_OK] > rounds / 5);
    CHECK(results[BH_E_TYPE] > rounds / 20);
    CHECK(results[BH_E_SYNTAX] > rounds / 20);
    CHECK(results[BH_E_TOO_LARGE] > rounds / 100);
    CHECK(results[BH_E_DUPLICATE] > 10);
    CHECK(results[BH_E_RANGE] > rounds / 1000);
}
