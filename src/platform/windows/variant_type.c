/* SPDX-License-Identifier: MIT */
/*
 * The types that a VARIANT can have: names for all, sizes for those that are read.
 *
 * Invariant: a type without a size is refused wherever it stands, so its content is never looked
 * at.
 */
#include "variant_internal.h"

#include <stdio.h>

struct row {
    VARTYPE vt;
    unsigned char size;
    const char *name;
};

#define ROW(name, size)                                                                            \
    {                                                                                              \
        name, size, #name                                                                          \
    }

static const struct row rows[] = {
    /* what is read */
    ROW(VT_I1, 1),
    ROW(VT_UI1, 1),
    ROW(VT_I2, 2),
    ROW(VT_UI2, 2),
    ROW(VT_BOOL, 2),
    ROW(VT_I4, 4),
    ROW(VT_UI4, 4),
    ROW(VT_INT, 4),
    ROW(VT_UINT, 4),
    ROW(VT_R4, 4),
    ROW(VT_ERROR, 4),
    ROW(VT_I8, 8),
    ROW(VT_UI8, 8),
    ROW(VT_R8, 8),
    ROW(VT_CY, 8),
    ROW(VT_DATE, 8),
    ROW(VT_DECIMAL, sizeof(DECIMAL)),
    ROW(VT_BSTR, sizeof(BSTR)),
    ROW(VT_VARIANT, sizeof(VARIANT)),
    /* what is only named */
    ROW(VT_EMPTY, 0),
    ROW(VT_NULL, 0),
    ROW(VT_DISPATCH, 0),
    ROW(VT_UNKNOWN, 0),
    ROW(VT_RECORD, 0),
    ROW(VT_VOID, 0),
    ROW(VT_HRESULT, 0),
    ROW(VT_PTR, 0),
    ROW(VT_SAFEARRAY, 0),
    ROW(VT_CARRAY, 0),
    ROW(VT_USERDEFINED, 0),
    ROW(VT_LPSTR, 0),
    ROW(VT_LPWSTR, 0),
    ROW(VT_INT_PTR, 0),
    ROW(VT_UINT_PTR, 0),
    ROW(VT_FILETIME, 0),
    ROW(VT_BLOB, 0),
    ROW(VT_STREAM, 0),
    ROW(VT_STORAGE, 0),
    ROW(VT_CF, 0),
    ROW(VT_CLSID, 0),
};

static const struct row *find(VARTYPE vt)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].vt == vt)
            return &rows[i];
    }
    return NULL;
}

size_t bhw_vartype_size(VARTYPE vt)
{
    const struct row *row = find(vt);

    return row ? row->size : 0;
}

const char *bhw_vartype_name(VARTYPE vt, char text[64])
{
    const VARTYPE flags = VT_BYREF | VT_ARRAY | VT_VECTOR;
    const struct row *row = find(vt & (VARTYPE)~flags);
    char number[16];

    snprintf(number, sizeof(number), "VARTYPE %u", (unsigned)(vt & (VARTYPE)~flags));
    snprintf(text, 64, "%s%s%s%s", vt & VT_BYREF ? "VT_BYREF|" : "",
             vt & VT_ARRAY ? "VT_ARRAY|" : "", vt & VT_VECTOR ? "VT_VECTOR|" : "",
             row ? row->name : number);
    return text;
}
