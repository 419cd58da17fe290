/* SPDX-License-Identifier: MIT */
/*
 * What scripts understand.
 *
 * Model: an int64 is a VT_I8, which is exact and what a dispatcher reads. But the script languages
 * know no integers of 64 bits: VBScript refuses to look at one. So in an answer to a stranger a
 * number goes as the type that scripts give to it themselves, where that loses nothing: 32 bits,
 * else a double. What does not fit either way stays as it is.
 */
#include "worker_end.h"

#define EXACT_MAX (INT64_C(1) << 53)

static void soften_number(VARIANT *variant)
{
    uint64_t bits = V_UI8(variant);

    if (V_VT(variant) == VT_UI8 && bits > INT64_MAX)
        return;
    if ((int64_t)bits >= INT32_MIN && (int64_t)bits <= INT32_MAX) {
        V_VT(variant) = VT_I4;
        V_I4(variant) = (LONG)bits;
    } else if ((int64_t)bits >= -EXACT_MAX && (int64_t)bits <= EXACT_MAX) {
        V_VT(variant) = VT_R8;
        V_R8(variant) = (double)(int64_t)bits;
    }
}

/* How many elements an array of any number of dimensions has. */
static size_t element_count(SAFEARRAY *array)
{
    size_t count = 1;

    for (USHORT i = 0; i < array->cDims; i++)
        count *= array->rgsabound[i].cElements;
    return count;
}

void bhw_worker_soften(VARIANT *variant)
{
    VARIANT *elements;
    size_t count;

    if (V_VT(variant) == VT_I8 || V_VT(variant) == VT_UI8)
        soften_number(variant);
    if (V_VT(variant) != (VT_ARRAY | VT_VARIANT) || V_ARRAY(variant) == NULL ||
        FAILED(SafeArrayAccessData(V_ARRAY(variant), (void **)&elements)))
        return;
    count = element_count(V_ARRAY(variant));
    for (size_t i = 0; i < count; i++)
        bhw_worker_soften(&elements[i]);
    SafeArrayUnaccessData(V_ARRAY(variant));
}
