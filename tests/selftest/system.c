/* SPDX-License-Identifier: MIT */
/*
 * What machine and what system this is, as far as it explains a result.
 */
#include "selftest.h"

#include <stdio.h>
#include <string.h>

typedef LONG(WINAPI *get_version_fn)(OSVERSIONINFOEXW *version);
typedef const char *(CDECL *wine_version_fn)(void);

static FARPROC ntdll_function(const char *name)
{
    return GetProcAddress(GetModuleHandleW(L"ntdll.dll"), name);
}

const char *system_wine(void)
{
    FARPROC function = ntdll_function("wine_get_version");

    return function == NULL ? NULL : ((wine_version_fn)(void (*)(void))function)();
}

/* GetVersionEx() says what the program's manifest wants to hear. */
static void windows_version(char *text, size_t size)
{
    OSVERSIONINFOEXW version = {.dwOSVersionInfoSize = sizeof version};
    FARPROC function = ntdll_function("RtlGetVersion");

    if (function == NULL || ((get_version_fn)(void (*)(void))function)(&version) != 0)
        snprintf(text, size, "unknown");
    else
        snprintf(text, size, "%lu.%lu.%lu%s", (unsigned long)version.dwMajorVersion,
                 (unsigned long)version.dwMinorVersion, (unsigned long)version.dwBuildNumber,
                 version.wProductType == VER_NT_WORKSTATION ? "" : " (server)");
}

static const char *architecture(const SYSTEM_INFO *info)
{
    switch (info->wProcessorArchitecture) {
    case PROCESSOR_ARCHITECTURE_AMD64:
        return "x64";
    case PROCESSOR_ARCHITECTURE_INTEL:
        return "x86";
    case 12 /* PROCESSOR_ARCHITECTURE_ARM64 */:
        return "arm64";
    default:
        return "other";
    }
}

static void set_text(bh_value *map, const char *key, const char *text)
{
    bh_value value;

    if (bh_value_new_string(&value, text, strlen(text)) != BH_OK ||
        bh_map_set(map, key, &value) != BH_OK)
        bh_value_deinit(&value);
}

static void set_number(bh_value *map, const char *key, uint64_t number)
{
    bh_value value = bh_value_int64((int64_t)number);

    bh_map_set(map, key, &value);
}

/* All times of the report are UTC. */
static void write_date(void)
{
    SYSTEMTIME now;
    char text[40];
    bh_value value;

    GetSystemTime(&now);
    snprintf(text, sizeof text, "%04u-%02u-%02uT%02u:%02u:%02uZ", now.wYear, now.wMonth, now.wDay,
             now.wHour, now.wMinute, now.wSecond);
    report_note("date       %s", text);
    if (bh_value_new_string(&value, text, strlen(text)) == BH_OK)
        report_add("date", &value);
}

static void write_program(void)
{
    bh_value name = bh_value_view("bulkhead-selftest"), version = bh_value_view(bh_version());

    report_note("program    bulkhead-selftest %s, %u bits", bh_version(),
                (unsigned)(sizeof(void *) * 8));
    report_add("program", &name);
    report_add("version", &version);
}

void system_describe(void)
{
    MEMORYSTATUSEX memory = {.dwLength = sizeof memory};
    bh_value map = bh_value_map();
    SYSTEM_INFO info;
    char version[80];

    report_part("This machine");
    write_program();
    write_date();
    windows_version(version, sizeof version);
    GetNativeSystemInfo(&info);
    GlobalMemoryStatusEx(&memory);
    report_note("Windows    %s, %s", version, architecture(&info));
    if (system_wine() != NULL)
        report_note("           THIS IS NOT WINDOWS BUT WINE %s, which says that it is",
                    system_wine());
    report_note("processors %lu, memory %llu MiB", (unsigned long)info.dwNumberOfProcessors,
                (unsigned long long)(memory.ullTotalPhys >> 20));
    set_text(&map, "windows", version);
    if (system_wine() != NULL)
        set_text(&map, "wine", system_wine());
    set_text(&map, "architecture", architecture(&info));
    set_number(&map, "processors", info.dwNumberOfProcessors);
    set_number(&map, "memory_bytes", memory.ullTotalPhys);
    set_number(&map, "bits", sizeof(void *) * 8);
    report_add("system", &map);
}
