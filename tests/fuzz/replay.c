/*
 * The main function of a target in builds without libFuzzer: runs every file of the directories
 * that are named as arguments, in the order of their names, and says how many there were. None at
 * all is a failure: then the corpus has got lost.
 */
#include <dirent.h>
#include <string.h>

#include "fuzz.h"

enum { PATH_BYTES = 1024, INPUT_BYTES_MAX = 1 << 20 };

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void run_file(const char *path)
{
    static uint8_t memory[INPUT_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    MUST(file != NULL);
    size_t bytes = fread(memory, 1, sizeof(memory), file);
    MUST(ferror(file) == 0 && bytes < sizeof(memory));
    (void)fclose(file);
    uint8_t *input = copy_exactly(slice_of(memory, bytes));
    (void)LLVMFuzzerTestOneInput(input, bytes);
    free(input);
}

static int run_directory(const char *directory)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, is_input, alphasort);
    for (int i = 0; i < count; i++) {
        char path[PATH_BYTES];
        int bytes = snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
        MUST(bytes > 0 && (size_t)bytes < sizeof(path));
        run_file(path);
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int count = run_directory(argv[i]);
        total += count > 0 ? count : 0;
    }
    (void)printf("%d inputs\n", total);
    return total > 0 ? 0 : 1;
}
