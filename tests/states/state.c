// The harness of the state programs; state.h says how they use it.
#include "state.h"

#include <stdarg.h>
#include <sys/socket.h>

static const char *folder;
static bool breaking;
static int argument_count;
static const char *arguments[16];
static volatile sig_atomic_t told_to_go_on;
static int report_pipe = -1;

static void on_go(int signal_number) {
    (void)signal_number;
    told_to_go_on = 1;
}

// Waiting is a poll that ends often: whatever a restore makes of an interrupted poll, no wake-up is
// lost. Programs that judge interrupted calls have threads for that.
static void wait_for_go(void) {
    while (!told_to_go_on) poll(NULL, 0, 10);
    told_to_go_on = 0;
}

static void watch_for_go(void) {
    struct sigaction action = {.sa_handler = on_go, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    MUST(sigaction(SIGTERM, &action, NULL));
}

static void write_file(const char *name, int flags, const char *text) {
    int saved = errno;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
    if (fd >= 0) {
        if (write(fd, text, strlen(text)) < 0) perror(path);
        close(fd);
    }
    errno = saved;
}

void state_begin(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [ARG…] [--break]\n", argv[0]);
        exit(2);
    }
    folder = argv[1];
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--break") == 0)
            breaking = true;
        else if (argument_count < 16)
            arguments[argument_count++] = argv[i];
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    watch_for_go();
}

const char *state_arg(int n) {
    return n < argument_count ? arguments[n] : NULL;
}

bool state_breaking(void) {
    return breaking;
}

const char *state_path(const char *name) {
    static char buffers[8][PATH_MAX];
    static int next;
    char *buffer = buffers[next++ % 8];
    snprintf(buffer, PATH_MAX, "%s/%s", folder, name);
    return buffer;
}

void state_ready(void) {
    char text[32], from[PATH_MAX], to[PATH_MAX];
    snprintf(text, sizeof text, "%d\n", getpid());
    write_file("ready.tmp", O_TRUNC, text);
    snprintf(from, sizeof from, "%s/ready.tmp", folder);
    snprintf(to, sizeof to, "%s/ready", folder);
    MUST(rename(from, to));
    wait_for_go();
}

_Noreturn void state_pass(void) {
    write_file("result", O_APPEND, "PASS\n");
    exit(0);
}

_Noreturn void state_fail_at(const char *file, int line, const char *fmt, ...) {
    char text[2048];
    const char *base = strrchr(file, '/');
    int length = snprintf(text, sizeof text - 2, "FAIL %s:%d: ", base ? base + 1 : file, line);
    va_list list;
    va_start(list, fmt);
    vsnprintf(text + length, sizeof text - 2 - length, fmt, list);
    va_end(list);
    strcat(text, "\n");
    fputs(text, stderr);
    write_file("result", O_APPEND, text);
    _exit(1);
}

_Noreturn void state_skip(const char *fmt, ...) {
    char text[1024] = "SKIP ";
    va_list list;
    va_start(list, fmt);
    vsnprintf(text + 5, sizeof text - 7, fmt, list);
    va_end(list);
    strcat(text, "\n");
    write_file("result", O_APPEND, text);
    _exit(0);
}

pid_t state_fork(void (*body)(void *), void *arg) {
    int ends[2];
    MUST(pipe2(ends, O_CLOEXEC));
    pid_t child = MUST(fork());
    if (child == 0) {
        close(ends[0]);
        report_pipe = ends[1];
        told_to_go_on = 0;
        watch_for_go();
        body(arg);
        _exit(0);
    }
    close(ends[1]);
    char byte;
    ssize_t got = read(ends[0], &byte, 1);
    CHECK(got == 1, "a child ended before it was ready");
    close(ends[0]);
    return child;
}

void state_child_reports(void) {
    MUST(write(report_pipe, "r", 1));
    close(report_pipe);
    report_pipe = -1;
}

void state_child_waits(void) {
    wait_for_go();
}

void state_child_ready(void) {
    state_child_reports();
    wait_for_go();
}

void state_expect_exit(pid_t child, int want) {
    int status;
    pid_t got;
    do got = waitpid(child, &status, 0);
    while (got == -1 && errno == EINTR);
    CHECK(got == child, "waitpid(%d) returned %d: %s", child, got, strerror(errno));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == want,
          "child %d ended with wait status %#x, not with exit status %d", child, status, want);
}

void state_child_end(pid_t child) {
    MUST(kill(child, SIGTERM));
    state_expect_exit(child, 0);
}

static uint32_t next_random(uint32_t *x) {
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x;
}

static uint32_t start_of(uint32_t seed) {
    uint32_t x = seed * 2654435761u + 88172645u;
    return x ? x : 1;
}

void state_fill(void *memory, size_t size, uint32_t seed) {
    uint32_t x = start_of(seed);
    uint8_t *byte = memory;
    for (size_t i = 0; i < size; i += 4) {
        uint32_t word = next_random(&x);
        memcpy(byte + i, &word, size - i < 4 ? size - i : 4);
    }
}

void state_check_fill(const void *memory, size_t size, uint32_t seed, const char *what) {
    uint32_t x = start_of(seed);
    const uint8_t *byte = memory;
    for (size_t i = 0; i < size; i += 4) {
        uint32_t word = next_random(&x);
        CHECK(memcmp(byte + i, &word, size - i < 4 ? size - i : 4) == 0,
              "%s: wrong bytes at offset %zu of %zu", what, i, size);
    }
}

char *state_slurp(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0, "open %s: %s", path, strerror(errno));
    size_t size = 0, room = 65536;
    char *text = malloc(room + 1);
    for (;;) {
        ssize_t got = read(fd, text + size, room - size);
        CHECK(got >= 0, "read %s: %s", path, strerror(errno));
        if (got == 0) break;
        size += got;
        if (size == room) text = realloc(text, (room *= 2) + 1);
    }
    text[size] = 0;
    close(fd);
    return text;
}

static char *field_of(const char *text, const char *key) {
    size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, key, length) == 0 && line[length] == ':') {
            line += length + 1;
            line += strspn(line, " \t");
            return strndup(line, strcspn(line, "\n"));
        }
    }
    return NULL;
}

char *state_field(const char *path, const char *key) {
    char *text = state_slurp(path);
    char *value = field_of(text, key);
    CHECK(value, "%s has no line %s", path, key);
    free(text);
    return value;
}

// The start of the entry in a maps or smaps text that holds the address.
static const char *entry_of(const char *text, uintptr_t address, struct state_map *map) {
    for (const char *line = text; line && *line;) {
        uintptr_t start, end;
        int at = 0;
        memset(map, 0, sizeof *map);
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s %lx %*s %lu %n", &start, &end, map->perms,
                   &map->offset, &map->inode, &at) >= 5 &&
            address >= start && address < end) {
            map->start = start;
            map->end = end;
            size_t length = strcspn(line + at, "\n");
            if (length >= sizeof map->path) length = sizeof map->path - 1;
            memcpy(map->path, line + at, length);
            return line;
        }
        line = strchr(line, '\n');
        if (line) line++;
    }
    return NULL;
}

bool state_map_at(const void *address, struct state_map *map) {
    char *text = state_slurp("/proc/self/maps");
    bool found = entry_of(text, (uintptr_t)address, map) != NULL;
    free(text);
    return found;
}

static char *smaps_line(const void *address, const char *key) {
    char *text = state_slurp("/proc/self/smaps");
    struct state_map map;
    const char *entry = entry_of(text, (uintptr_t)address, &map);
    CHECK(entry, "%p is not mapped", address);
    char *value = field_of(entry, key);
    free(text);
    return value;
}

long state_smaps(const void *address, const char *key) {
    char *value = smaps_line(address, key);
    long number = value ? atol(value) : -1;
    free(value);
    return number;
}

char *state_vm_flags(const void *address) {
    char *value = smaps_line(address, "VmFlags");
    CHECK(value, "no VmFlags for %p", address);
    return value;
}

bool state_vm_flag(const void *address, const char *flag) {
    char *flags = state_vm_flags(address);
    bool found = strstr(flags, flag) != NULL;
    free(flags);
    return found;
}

double state_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

void state_ping(int from, int to) {
    char out = 'a' + (rand() % 26), in = 0;
    CHECK(write(from, &out, 1) == 1, "write to descriptor %d: %s", from, strerror(errno));
    struct pollfd ready = {.fd = to, .events = POLLIN};
    CHECK(poll(&ready, 1, 5000) == 1, "nothing arrived on descriptor %d", to);
    CHECK(read(to, &in, 1) == 1, "read from descriptor %d: %s", to, strerror(errno));
    CHECK(in == out, "sent %c from descriptor %d, got %c on %d", out, from, in, to);
}

bool state_outsider(char **argv) {
    pid_t between = MUST(fork());
    if (between == 0) {
        if (MUST(fork())) _exit(0);
        MUST(setsid());
        // The suite finds the program's processes by their command lines.
        memset(argv[1], '-', strlen(argv[1]));
        return true;
    }
    state_expect_exit(between, 0);
    return false;
}

char *state_cgroups(const char *path) {
    char *text = state_slurp(path), *to = text, *next;
    for (char *line = text; *line; line = next) {
        next = line + strcspn(line, "\n");
        next += *next == '\n';
        size_t length = next - line;
        if (memmem(line, length, ":name=torpor-", 13)) continue;
        memmove(to, line, length);
        to += length;
    }
    *to = 0;
    return text;
}

bool state_enter_cgroup(const char *folder_of_group) {
    char path[PATH_MAX], text[32];
    snprintf(path, sizeof path, "%s/cgroup.procs", folder_of_group);
    int fd = open(path, O_WRONLY);
    if (fd < 0) return false;
    int length = snprintf(text, sizeof text, "%d", getpid());
    bool entered = write(fd, text, length) == length;
    close(fd);
    return entered;
}

void state_give(int over, int fd) {
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {"d", 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &fd, sizeof(int));
    EQUAL(MUST(sendmsg(over, &message, 0)), 1);
}

int state_take(int over, int flags) {
    char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    EQUAL(MUST(recvmsg(over, &message, flags)), 1);
    EQUAL(byte, 'd');
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    CHECK(rights && rights->cmsg_type == SCM_RIGHTS, "the descriptor is gone");
    int fd;
    memcpy(&fd, CMSG_DATA(rights), sizeof(int));
    return fd;
}
