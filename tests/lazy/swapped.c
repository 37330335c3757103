// Memory in a known pattern of which a part is in swap.
//
// swapped FOLDER MIB: fills MIB megabytes of private and a sixth as many of shared memory, has the second half of each put
// into swap (MADV_PAGEOUT), makes FOLDER/ready, and waits for FOLDER/go. Then it checks every byte; FOLDER/result says
// "PASS" or what was wrong. It touches nothing of its memory meanwhile.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_WORDS 512ul

static const char *folder;

static const char *in_folder(const char *name) {
    static char text[4096];
    snprintf(text, sizeof text, "%s/%s", folder, name);
    return text;
}

static void say(const char *name, const char *text) {
    int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) _exit(3);
    close(fd);
}

static uint64_t word(uint64_t seed, size_t at) { return (at + seed) * 0x9e3779b97f4a7c15ull; }

static void fill(uint64_t *words, size_t size, uint64_t seed) {
    for (size_t i = 0; i < size / 8; i++) words[i] = word(seed, i);
    // More than once: a page that was under way to somewhere is left alone.
    for (int n = 0; n < 3; n++) madvise((char *)words + size / 2, size / 2, MADV_PAGEOUT);
}

static void check(const char *what, const uint64_t *words, size_t size, uint64_t seed) {
    for (size_t i = 0; i < size / 8; i++) {
        if (words[i] == word(seed, i)) continue;
        char text[256];
        snprintf(text, sizeof text, "FAIL %s: page %zu\n", what, i / PAGE_WORDS);
        say("result", text);
        _exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    folder = argv[1];
    size_t size = strtoul(argv[2], NULL, 10) << 20;
    uint64_t *private = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t *shared = mmap(NULL, size / 6, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (private == MAP_FAILED || shared == MAP_FAILED) return 3;
    fill(private, size, 1);
    fill(shared, size / 6, 77);
    say("ready.new", "\n");
    char made[4096];
    snprintf(made, sizeof made, "%s", in_folder("ready.new"));
    if (rename(made, in_folder("ready")) != 0) return 3;
    while (access(in_folder("go"), F_OK) != 0) usleep(300);
    check("private", private, size, 1);
    check("shared", shared, size / 6, 77);
    say("result", "PASS\n");
    for (;;) pause();
}
