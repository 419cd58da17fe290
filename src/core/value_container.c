/* SPDX-License-Identifier: MIT */
/*
 * Arrays and maps.
 *
 * Model: a container that owns its items points *into* a table, behind the header that holds the
 * capacity (struct bhi_table), because the public struct has no room for one. A map's table is its
 * members laid flat, so that one table serves both. An empty container has no table at all.
 *
 * Invariants: a container that can grow has BH_VALUE_OWNS and either no table or one that is not
 * frozen; keys are valid UTF-8, owned by the map and unique. A change that fails changes nothing.
 * Lookup is linear: maps are records; only the readers, who face hostile input, look for duplicates
 * in another way (keys.c).
 */
#include "alloc.h"
#include "utf8.h"
#include "value_internal.h"

#include <stddef.h>
#include <string.h>

bh_value bh_value_array(void)
{
    return (bh_value){.type = BH_ARRAY, .flags = BH_VALUE_OWNS};
}

bh_value bh_value_map(void)
{
    return (bh_value){.type = BH_MAP, .flags = BH_VALUE_OWNS};
}

bool bhi_is_container(const bh_value *value)
{
    return value->type == BH_ARRAY || value->type == BH_MAP;
}

bh_value *bhi_container_values(const bh_value *container)
{
    if (container->type == BH_MAP)
        return (bh_value *)container->as.members;
    return container->as.items;
}

uint64_t bhi_container_count(const bh_value *container)
{
    return container->type == BH_MAP ? container->length * 2 : container->length;
}

struct bhi_table *bhi_container_table(const bh_value *container)
{
    void *values = bhi_container_values(container);

    if (!(container->flags & BH_VALUE_OWNS) || !values)
        return NULL;
    return (void *)((char *)values - offsetof(struct bhi_table, values));
}

static void attach(bh_value *container, struct bhi_table *table)
{
    if (container->type == BH_MAP)
        container->as.members = (struct bh_member *)table->values;
    else
        container->as.items = table->values;
}

void bhi_container_adopt(bh_value *container, struct bhi_table *table)
{
    container->flags = BH_VALUE_OWNS;
    container->length = 0;
    attach(container, table);
}

/* The size of a table's block, or 0 when this machine cannot address it. */
static size_t table_size(uint64_t count)
{
    if (count > (SIZE_MAX - sizeof(struct bhi_table)) / sizeof(bh_value))
        return 0;
    return sizeof(struct bhi_table) + (size_t)count * sizeof(bh_value);
}

struct bhi_table *bhi_table_new(uint64_t count)
{
    size_t size = table_size(count);
    struct bhi_table *table = size ? bhi_alloc(size) : NULL;

    if (table)
        table->link.capacity = count;
    return table;
}

/* Makes room for `more` values behind the present ones, doubling so that appending stays cheap. */
static int reserve(bh_value *container, unsigned more)
{
    struct bhi_table *table = bhi_container_table(container);
    uint64_t capacity = table ? table->link.capacity : 0;

    if (capacity == BHI_TABLE_FROZEN)
        return BH_E_TYPE;
    if (capacity - bhi_container_count(container) >= more)
        return BH_OK;
    capacity = capacity ? capacity * 2 : 4;
    size_t size = table_size(capacity);
    table = size ? bhi_realloc(table, size) : NULL;
    if (!table)
        return BH_E_MEMORY;
    table->link.capacity = capacity;
    attach(container, table);
    return BH_OK;
}

static bool can_grow(const bh_value *container, unsigned type)
{
    return container->type == type && (container->flags & BH_VALUE_OWNS);
}

/* Moves a value: afterwards only the new place has it. */
static void move(bh_value *to, bh_value *from)
{
    *to = *from;
    *from = bh_value_null();
}

int bh_array_push(bh_value *array, bh_value *item)
{
    if (!can_grow(array, BH_ARRAY))
        return BH_E_TYPE;
    int rc = reserve(array, 1);
    if (rc != BH_OK)
        return rc;
    move(&array->as.items[array->length++], item);
    return BH_OK;
}

int bhi_map_append(bh_value *map, bh_value *key, bh_value *item)
{
    if (!can_grow(map, BH_MAP))
        return BH_E_TYPE;
    int rc = reserve(map, 2);
    if (rc != BH_OK)
        return rc;
    struct bh_member *member = &map->as.members[map->length++];
    move(&member->key, key);
    move(&member->value, item);
    return BH_OK;
}

bool bhi_key_is(const bh_value *key, const char *text, size_t length)
{
    return key->length == length && (length == 0 || memcmp(key->as.string, text, length) == 0);
}

static struct bh_member *find(const bh_value *map, const char *key, size_t key_length)
{
    for (uint64_t i = 0; i < map->length; i++) {
        if (bhi_key_is(&map->as.members[i].key, key, key_length))
            return &map->as.members[i];
    }
    return NULL;
}

int bh_map_set(bh_value *map, const char *key, bh_value *item)
{
    return bh_map_set_n(map, key, strlen(key), item);
}

int bh_map_set_n(bh_value *map, const char *key, size_t key_length, bh_value *item)
{
    if (!can_grow(map, BH_MAP))
        return BH_E_TYPE;
    struct bh_member *present = find(map, key, key_length);
    if (present) {
        bh_value_deinit(&present->value);
        move(&present->value, item);
        return BH_OK;
    }
    bh_value copy;
    int rc = bh_value_new_string(&copy, key, key_length);
    if (rc == BH_OK)
        rc = bhi_map_append(map, &copy, item);
    bh_value_deinit(&copy);
    return rc;
}

const bh_value *bh_map_get(const bh_value *map, const char *key)
{
    return bh_map_get_n(map, key, strlen(key));
}

const bh_value *bh_map_get_n(const bh_value *map, const char *key, size_t key_length)
{
    if (!map || map->type != BH_MAP)
        return NULL;
    struct bh_member *member = find(map, key, key_length);
    return member ? &member->value : NULL;
}
