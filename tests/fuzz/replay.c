/* SPDX-License-Identifier: MIT */
/*
 * Feeds every file of a directory to a fuzz harness, once and in the order of names: the corpus as
 * a regression test, without libFuzzer.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An exact allocation per input, so that a sanitizer sees one byte too many. */
static int feed(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return 1;
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(size ? size : 1);
    int failed = !data || fread(data, 1, size, file) != size;
    fclose(file);
    if (!failed)
        LLVMFuzzerTestOneInput(data, size);
    free(data);
    return failed;
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    struct dirent **inputs = NULL;
    int count = argc == 2 ? scandir(argv[1], &inputs, is_input, alphasort) : -1;
    if (count < 0) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    int failures = 0;
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", argv[1], inputs[i]->d_name);
        printf("%s\n", inputs[i]->d_name);
        fflush(stdout); /* the last name printed is the one that crashed */
        failures += feed(path);
        free(inputs[i]);
    }
    free(inputs);
    printf("%d inputs, %d unreadable\n", count, failures);
    return failures != 0;
}
