/* SPDX-License-Identifier: MIT */
/*
 * SAFEARRAYs that somebody else described.
 *
 * Model: the description is copied once and checked against itself and against what the VARIANT
 * says; afterwards only the copy is used. What cannot be checked in one's own memory is where the
 * pointers lead: COM's unmarshaller made them, or a caller in this process did.
 *
 * Invariants: elements that hold pointers (VT_BSTR, VT_VARIANT) are accepted only when the array
 * itself says that they are such, so that no number is ever taken for a pointer. Plain elements
 * need only have the right size: any bits are a number. count × size fits a size_t.
 */
#include "variant_internal.h"

#include <string.h>

/* The flags that say what kind of pointer the elements hold. */
#define POINTERS                                                                                   \
    (FADF_BSTR | FADF_VARIANT | FADF_UNKNOWN | FADF_DISPATCH | FADF_RECORD | FADF_HAVEIID)

/* Whether the array agrees that its elements are `vt`. */
static bool agrees(const SAFEARRAY *psa, VARTYPE vt)
{
    USHORT kind = psa->fFeatures & POINTERS;
    VARTYPE recorded = vt;

    if (vt != VT_BSTR && vt != VT_VARIANT)
        return kind == 0;
    if (kind != (vt == VT_BSTR ? FADF_BSTR : FADF_VARIANT))
        return false;
    if (psa->fFeatures & FADF_HAVEVARTYPE)
        return SafeArrayGetVartype((SAFEARRAY *)psa, &recorded) == S_OK && recorded == vt;
    return true;
}

/* Copies the extents, which lie last index first, and multiplies them. */
static bool measure(struct bhw_array *out, const SAFEARRAY *psa)
{
    out->count = 1;
    for (unsigned i = 0; i < out->dimensions; i++) {
        SAFEARRAYBOUND bound = psa->rgsabound[out->dimensions - 1 - i];
        out->extents[i] = bound.cElements;
        if (i == 0)
            out->lower = bound.lLbound;
        if (bound.cElements != 0 && out->count > SIZE_MAX / out->size / bound.cElements)
            return false;
        out->count *= bound.cElements;
    }
    return true;
}

int bhw_array_open(struct bhw_array *out, VARTYPE vt, const SAFEARRAY *psa, const char **why)
{
    *out = (struct bhw_array){.vt = vt, .dimensions = 1, .size = bhw_vartype_size(vt)};
    *why = "is not supported";
    if (out->size == 0)
        return BH_E_TYPE;
    if (!psa)
        return BH_OK;
    out->dimensions = psa->cDims;
    *why = "has no or too many dimensions";
    if (out->dimensions == 0 || out->dimensions > BHW_DIMENSIONS_MAX)
        return BH_E_TYPE;
    *why = "says something else about its elements than its SAFEARRAY";
    if (psa->cbElements != out->size || !agrees(psa, vt))
        return BH_E_SYNTAX;
    *why = "is larger than the memory";
    if (!measure(out, psa))
        return BH_E_TOO_LARGE;
    out->data = psa->pvData;
    *why = "has no data";
    return out->count == 0 || out->data ? BH_OK : BH_E_SYNTAX;
}

bool bhw_array_is(const struct bhw_array *array, VARTYPE vt, size_t a, size_t b, size_t c)
{
    return array->vt == vt && array->dimensions == 3 && array->extents[0] == a &&
           array->extents[1] == b && array->extents[2] == c;
}

const void *bhw_array_at(const struct bhw_array *array, size_t index)
{
    return array->data + index * array->size;
}

unsigned bhw_array_type(VARTYPE vt)
{
    switch (vt) {
    case VT_UI1:
        return BH_BYTES;
    case VT_I1:
    case VT_I2:
    case VT_UI2:
    case VT_I4:
    case VT_INT:
        return BH_I32_ARRAY;
    case VT_UI4:
    case VT_UINT:
    case VT_I8:
        return BH_I64_ARRAY;
    case VT_R4:
        return BH_F32_ARRAY;
    case VT_R8:
        return BH_F64_ARRAY;
    default:
        return BH_ARRAY;
    }
}

void bhw_array_copy(const struct bhw_array *array, void *to)
{
    unsigned type = bhw_array_type(array->vt);
    const char *why;
    bh_value number;

    if (array->count == 0)
        return; /* memcpy(…, NULL, 0) is undefined */
    if (bhi_element_size(type) == array->size) {
        memcpy(to, array->data, array->count * array->size);
        return;
    }
    for (size_t i = 0; i < array->count; i++) {
        (void)bhw_number_read(&number, array->vt, bhw_array_at(array, i), &why);
        if (type == BH_I32_ARRAY)
            ((int32_t *)to)[i] = (int32_t)number.as.int64;
        else
            ((int64_t *)to)[i] = number.as.int64;
    }
}
