/* SPDX-License-Identifier: MIT */
/*
 * UTF-8 and UTF-16: every character, both strict directions, and the forgiving one for file names.
 */
#include "check.h"

#include "core/alloc.h"
#include "core/utf8.h"
#include "platform/windows/text16.h"

TEST(text_for_the_system)
{
    static const uint16_t odd[] = {'a', 0xd800, 'b', 0xdc00, 0};
    uint16_t *units = bhw_text16_new("a\xf0\x9f\x98\x80");
    char *text = bhw_text16_new_utf8(odd);

    CHECK_INT(units[0], 'a');
    CHECK_INT(units[1], 0xd83d);
    CHECK_INT(units[2], 0xde00);
    CHECK_INT(units[3], 0);
    CHECK_STR(text, "a\xef\xbf\xbd"
                    "b\xef\xbf\xbd");
    CHECK(bhw_text16_new("\xff") == NULL);
    bhi_free(units);
    bhi_free(text);
}

TEST(units_behind_the_count_do_not_matter)
{
    static const uint16_t pair[] = {0xd83d, 0xde00};
    size_t bytes;

    CHECK(bhw_text16_measure(pair, 2, &bytes));
    CHECK_INT(bytes, 4);
    CHECK(!bhw_text16_measure(pair, 1, &bytes));
    CHECK(bhw_text16_measure(NULL, 0, &bytes));
    CHECK_INT(bytes, 0);
}

TEST(every_character_comes_back)
{
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        char text[4];
        char back[4];
        uint16_t units[2];
        size_t bytes;
        if (point >= 0xd800 && point < 0xe000)
            continue;
        size_t length = bhi_utf8_encode(point, text);
        size_t count = bhw_text16_units(text, length);
        CHECK_INT(count, point < 0x10000 ? 1 : 2);
        CHECK_INT(bhw_text16_from_utf8(units, text, length), count);
        CHECK(bhw_text16_measure(units, count, &bytes));
        CHECK_INT(bytes, length);
        CHECK_INT(bhw_text16_to_utf8(back, units, count), length);
        CHECK_BYTES(text, back, length);
    }
}
