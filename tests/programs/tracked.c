/*
 * A program that does all kinds of things to its memory when told to, and knows from outside of it what it has to be:
 * digests of its areas are in a file that no capture takes along.
 *
 * usage: tracked FOLDER
 *
 * Whoever gives orders writes "NUMBER WORD SEED" to FOLDER/order (by a rename), each with a higher number. Every
 * process answers in FOLDER/answer-PID with "NUMBER OK" or "NUMBER FAIL REASON":
 *   every    does everything once          random   does a few things by chance, as the seed says
 *   fork     makes a child, which from then on does and knows by itself (once)
 *   check    compares its memory with FOLDER/digest-PID, which is written after each of the other orders
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define MADV_GUARD_INSTALL_ 102

enum { PAGE = 4096, AREAS = 48, MIB = 1 << 20, HUGE = 2 << 20, DEEP = 64 };
enum kind { ANONYMOUS, SHARED, OF_FILE, HEAP, STACK };
struct area {
    unsigned char *at;
    size_t pages;
    enum kind kind;
    /* More than one mapping, perhaps: what mremap(2) does not take. */
    int pieces;
};

static struct area areas[AREAS];
static int count;
static const char *folder;
static uint64_t state;
static unsigned char *guarded;
static char failure[200];

static uint64_t chance(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

static void fail(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    if (failure[0] == 0)
        vsnprintf(failure, sizeof failure, format, list);
    va_end(list);
}

#define MUST(what)                                                                                                     \
    do {                                                                                                               \
        if (!(what))                                                                                                   \
            fail("%s: %s", #what, strerror(errno));                                                                    \
    } while (0)

static const char *path(const char *name, int number)
{
    static char text[4][300];
    static int turn;
    char *into = text[turn++ % 4];
    if (number > 0)
        snprintf(into, sizeof text[0], "%s/%s-%d", folder, name, number);
    else
        snprintf(into, sizeof text[0], "%s/%s", folder, name);
    return into;
}

static void put(const char *name, int number, const char *text)
{
    const char *to = path(name, number), *from = path(number > 0 ? "new" : "new0", number);
    int fd = open(from, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || rename(from, to) != 0)
        _exit(3);
    close(fd);
}

static size_t get(const char *name, int number, char *text, size_t room)
{
    int fd = open(path(name, number), O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, text, room - 1);
    if (fd >= 0)
        close(fd);
    text[len > 0 ? len : 0] = 0;
    return (size_t)(len > 0 ? len : 0);
}

static void scribble(unsigned char *page)
{
    uint64_t *words = (uint64_t *)page;
    for (int i = 0; i < PAGE / 8; i += 1 + (int)chance(64))
        words[i] = chance(UINT64_MAX);
}

static void scatter(struct area *area)
{
    for (size_t n = 1 + area->pages / 16; n > 0; n--)
        scribble(area->at + chance(area->pages) * PAGE);
}

static void fill(struct area *area)
{
    for (size_t page = 0; page < area->pages; page++)
        scribble(area->at + page * PAGE);
}

static void *map(void *at, size_t pages, int more)
{
    void *there = mmap(at, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | more, -1, 0);
    if (there == MAP_FAILED)
        fail("mmap: %s", strerror(errno));
    return there;
}

static struct area *add(void *at, size_t pages, enum kind kind)
{
    if (count == AREAS || at == MAP_FAILED) {
        fail("no area more");
        return &areas[0];
    }
    areas[count] = (struct area){at, pages, kind, 0};
    return &areas[count++];
}

/* A part of an area. */
static void part(struct area *area, unsigned char **at, size_t *len)
{
    size_t first = chance(area->pages);
    *at = area->at + first * PAGE;
    *len = (1 + chance(area->pages - first)) * PAGE;
}

static void digest_of(struct area *area, char *line, size_t room)
{
    uint64_t hash = 0xcbf29ce484222325u;
    const uint64_t *words = (const uint64_t *)area->at;
    for (size_t i = 0; i < area->pages * PAGE / 8; i++)
        hash = (hash ^ words[i]) * 0x100000001b3u;
    snprintf(line, room, "%d %p %zu %016llx\n", area->kind, (void *)area->at, area->pages, (unsigned long long)hash);
}

static const char *digest(void)
{
    static char text[AREAS * 64];
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        digest_of(&areas[i], text + at, sizeof text - at);
        at += strlen(text + at);
    }
    return text;
}

enum deed {
    SCATTER, DROP, DROP_AND_WRITE, MOVE, REPLACE, PROTECT, GROW, AWAY_AND_BACK, READ_INTO, WRITE_FROM_OUTSIDE, PAGE_OUT,
    COLLAPSE, BRIEF_CHILD, READ_PAST_CACHE, ZERO, HEAP_GROWS, HOLE_AND_NEW, DEEDS
};

static void from_file(struct area *area, int flags)
{
    unsigned char *at = area->at + chance(area->pages) * PAGE;
    int fd = open(path("source", 0), O_RDONLY | O_CLOEXEC | flags);
    MUST(fd >= 0 && pread(fd, at, PAGE, (off_t)chance(64) * PAGE) == PAGE);
    close(fd);
}

static void away_and_back(struct area *area)
{
    size_t len = area->pages * PAGE;
    void *elsewhere = map(NULL, area->pages, 0);
    MUST(mremap(area->at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere) != MAP_FAILED);
    ((unsigned char *)elsewhere)[chance(len)] ^= 0x55;
    MUST(mremap(elsewhere, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, area->at) != MAP_FAILED);
}

static void brief_child(struct area *area)
{
    pid_t child = fork();
    if (child == 0) {
        memset(area->at, 0x3c, area->pages * PAGE);
        _exit(0);
    }
    scatter(area);
    MUST(child > 0 && waitpid(child, NULL, 0) == child);
}

static void heap_grows(void)
{
    unsigned char *end = sbrk(8 * PAGE);
    for (int i = 0; i < count; i++) {
        if (areas[i].kind == HEAP && areas[i].at + areas[i].pages * PAGE == end) {
            areas[i].pages += 8;
            scatter(&areas[i]);
        }
    }
}

static void move(struct area *area)
{
    size_t len = area->pages * PAGE;
    unsigned char *before = area->at;
    void *place = map(NULL, area->pages, 0);
    area->at = mremap(before, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, place);
    MUST(area->at != MAP_FAILED);
    /* Something else where it was. */
    if (count < AREAS && chance(2) == 0)
        scatter(add(map(before, area->pages, MAP_FIXED_NOREPLACE), area->pages, ANONYMOUS));
}

static void grow(struct area *area)
{
    if (area->pages > 2048)
        return;
    void *at = mremap(area->at, area->pages * PAGE, (area->pages + 16) * PAGE, MREMAP_MAYMOVE);
    MUST(at != MAP_FAILED);
    area->at = at;
    area->pages += 16;
    scribble(area->at + (area->pages - 1 - chance(16)) * PAGE);
}

static void act(enum deed deed, struct area *area)
{
    unsigned char *at;
    size_t len;
    part(area, &at, &len);
    int anonymous = area->kind == ANONYMOUS, whole = anonymous && !area->pieces;
    switch (deed) {
    case DROP: /* Of a file its own contents come back, of shared memory all stays. */
        if (area->kind != STACK)
            MUST(madvise(at, len, MADV_DONTNEED) == 0);
        return;
    case DROP_AND_WRITE:
        if (area->kind != STACK)
            MUST(madvise(at, len, MADV_DONTNEED) == 0);
        scatter(area);
        return;
    case MOVE:
        if (whole)
            move(area);
        return;
    case REPLACE:
        if (!anonymous)
            return;
        MUST(munmap(area->at, area->pages * PAGE) == 0);
        map(area->at, area->pages, MAP_FIXED_NOREPLACE);
        area->pieces = 0;
        scatter(area);
        return;
    case HOLE_AND_NEW: /* The same with a part of it. */
        if (!anonymous)
            return;
        MUST(munmap(at, len) == 0);
        map(at, len / PAGE, MAP_FIXED_NOREPLACE);
        area->pieces = 1;
        scribble(at);
        return;
    case PROTECT:
        MUST(mprotect(at, len, chance(2) ? PROT_NONE : PROT_READ) == 0);
        MUST(mprotect(at, len, PROT_READ | PROT_WRITE) == 0);
        at[chance(len)] ^= 0x5a;
        return;
    case GROW:
        if (whole)
            grow(area);
        return;
    case AWAY_AND_BACK:
        if (whole)
            away_and_back(area);
        return;
    case READ_INTO:
        from_file(area, 0);
        return;
    case READ_PAST_CACHE:
        from_file(area, O_DIRECT);
        return;
    case WRITE_FROM_OUTSIDE: {
        char word[24] = "written from outside";
        struct iovec local = {word, sizeof word}, remote = {at + chance(PAGE - sizeof word), sizeof word};
        MUST(process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == sizeof word);
        return;
    }
    case PAGE_OUT: /* Without swap nothing happens. */
        madvise(at, len, MADV_PAGEOUT);
        if (chance(2) == 0)
            at[chance(len)] ^= 0xa5;
        return;
    case COLLAPSE:
        madvise(area->at, area->pages * PAGE, MADV_COLLAPSE);
        at[chance(len)] ^= 0x99;
        return;
    case BRIEF_CHILD:
        brief_child(area);
        return;
    case ZERO:
        memset(at, 0, len);
        return;
    case HEAP_GROWS:
        heap_grows();
        return;
    case SCATTER:
    case DEEDS:
        scatter(area);
        return;
    }
}

/* Everything, each on an area of its own where there are enough. */
static void every(void)
{
    for (int deed = 0; deed < DEEDS; deed++) {
        for (int i = 0; i < 3; i++)
            act((enum deed)deed, &areas[(deed + i * 5) % count]);
    }
}

static void by_chance(void)
{
    for (uint64_t n = 2 + chance(12); n > 0; n--)
        act((enum deed)chance(DEEDS), &areas[chance((uint64_t)count)]);
}

/* A page that must not be touched (MADV_GUARD_INSTALL, Linux 6.13) is still one. */
static void check_guard(void)
{
    char byte;
    struct iovec local = {&byte, 1}, remote = {guarded, 1};
    if (guarded != NULL && process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != -1)
        fail("a guard page can be read");
}

static void check(void)
{
    char known[AREAS * 64];
    get("digest", getpid(), known, sizeof known);
    const char *now = digest();
    if (strcmp(known, now) != 0) {
        size_t at = 0;
        while (known[at] == now[at] && known[at] != 0)
            at++;
        while (at > 0 && now[at - 1] != '\n')
            at--;
        fail("an area is \"%.*s\", not \"%.*s\"", (int)strcspn(now + at, "\n"), now + at,
             (int)strcspn(known + at, "\n"), known + at);
    }
    check_guard();
}

static void set_up(unsigned char *on_stack)
{
    prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
    for (int i = 0; i < 6; i++)
        fill(add(map(NULL, (size_t)(64 + 128 * i), 0), (size_t)(64 + 128 * i), ANONYMOUS));
    /* Hardly touched. */
    scatter(add(map(NULL, 4096, 0), 4096, ANONYMOUS));
    unsigned char *huge = map(NULL, 3 * HUGE / PAGE, 0);
    huge = (unsigned char *)(((uintptr_t)huge + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
    madvise(huge, HUGE, MADV_HUGEPAGE);
    fill(add(huge, HUGE / PAGE, ANONYMOUS));
    void *shared = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fill(add(shared, MIB / PAGE, SHARED));
    int fd = open(path("source", 0), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    unsigned char page[PAGE];
    for (int i = 0; i < 128; i++) {
        scribble(page);
        MUST(write(fd, page, PAGE) == PAGE);
    }
    fsync(fd);
    scatter(add(mmap(NULL, 128 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0), 128, OF_FILE));
    close(fd);
    unsigned char *heap = sbrk(0);
    sbrk(PAGE - (intptr_t)((uintptr_t)heap % PAGE));
    fill(add(sbrk(64 * PAGE), 64, HEAP));
    unsigned char *aligned = (unsigned char *)(((uintptr_t)on_stack + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
    fill(add(aligned, DEEP, STACK));
    unsigned char *guard = map(NULL, 16, 0);
    memset(guard, 7, 16 * PAGE);
    if (madvise(guard + 4 * PAGE, PAGE, MADV_GUARD_INSTALL_) == 0)
        guarded = guard + 4 * PAGE;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: tracked FOLDER\n");
        return 2;
    }
    unsigned char on_stack[(DEEP + 1) * PAGE];
    folder = argv[1];
    state = 0x9e3779b97f4a7c15u;
    set_up(on_stack);
    long done = 0;
    int has_child = 0, is_child = 0;
    put("digest", getpid(), digest());
    put("answer", getpid(), failure[0] == 0 ? "0 OK\n" : failure);
    for (;;) {
        char order[100], word[20] = "", answer[300];
        long number = 0;
        unsigned long long seed = 0;
        get("order", 0, order, sizeof order);
        if (sscanf(order, "%ld %19s %llu", &number, word, &seed) != 3 || number <= done) {
            struct timespec moment = {0, 2000000};
            nanosleep(&moment, NULL);
            continue;
        }
        done = number;
        failure[0] = 0;
        state = (seed + 1 + (is_child ? 0x51ed270b : 0)) * 0x9e3779b97f4a7c15u;
        if (strcmp(word, "check") == 0) {
            check();
        } else {
            if (strcmp(word, "every") == 0)
                every();
            else if (strcmp(word, "fork") == 0 && !has_child && !is_child) {
                has_child = 1;
                pid_t child = fork();
                is_child = child == 0;
                MUST(child >= 0);
            } else
                by_chance();
            put("digest", getpid(), digest());
        }
        snprintf(answer, sizeof answer, "%ld %s%s\n", number, failure[0] == 0 ? "OK" : "FAIL ", failure);
        put("answer", getpid(), answer);
    }
}
