// epoll: events and data of each entry, edge-triggered and one-shot entries before and after their
// event, a closed descriptor whose duplicate lives on, nested and shared epolls.
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "state.h"

static void add(int epoll, int fd, uint32_t events, uint64_t data) {
    struct epoll_event event = {.events = events, .data.u64 = data};
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

static void expect(int epoll, uint64_t data, uint32_t events) {
    struct epoll_event event = {0};
    int got = epoll_wait(epoll, &event, 1, 2000);
    CHECK(got == 1, "no event with data %#" PRIx64 " (%d)", data, got);
    EQUAL(event.data.u64, data);
    EQUAL(event.events, events);
}

static void expect_none(int epoll, const char *why) {
    struct epoll_event event = {0};
    int got = epoll_wait(epoll, &event, 1, 30);
    CHECK(got == 0, "%s: an event %#x with data %#" PRIx64, why, event.events, event.data.u64);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// What is asked for, entry by entry; their order is the kernel's, and so are inode numbers.
static char *entries(int epoll) {
    char path[64], *lines[64];
    int count = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", epoll);
    char *text = state_slurp(path), *all = calloc(1, strlen(text) + 1);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *rest = strstr(line, " pos:");
        if (rest) *rest = 0;
        if (strncmp(line, "tfd", 3) == 0) lines[count++] = line;
    }
    qsort(lines, count, sizeof lines[0], by_text);
    for (int i = 0; i < count; i++) strcat(strcat(all, lines[i]), "\n");
    free(text);
    return all;
}

static void give(int fd) {
    uint64_t one = 1;
    EQUAL(write(fd, &one, 8), 8);
}

static void take(int fd) {
    uint64_t value;
    EQUAL(read(fd, &value, 8), 8);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int epoll = MUST(epoll_create1(EPOLL_CLOEXEC)), other = MUST(epoll_create1(0));
    int level = MUST(eventfd(0, 0)), edge = MUST(eventfd(0, 0)), spent = MUST(eventfd(0, 0));
    int fresh = MUST(eventfd(0, 0)), closed = MUST(eventfd(0, 0)), inner_fd = MUST(eventfd(0, 0));
    int seen_edge = MUST(eventfd(0, 0));
    int ends[2];
    MUST(pipe(ends));
    add(epoll, level, EPOLLIN | EPOLLPRI, 0x1111222233334444);
    add(epoll, edge, EPOLLIN | EPOLLET, 2);
    add(epoll, spent, EPOLLIN | EPOLLONESHOT, 3);
    give(spent);
    expect(epoll, 3, EPOLLIN); // now disabled, though still readable
    add(epoll, fresh, EPOLLIN | EPOLLONESHOT | EPOLLET, 4);
    add(epoll, ends[0], EPOLLIN | EPOLLRDHUP | EPOLLWAKEUP, 5);
    add(other, inner_fd, EPOLLIN, 77);
    add(epoll, other, EPOLLIN, 6); // an epoll in an epoll
    int duplicate = MUST(dup(closed));
    add(epoll, closed, EPOLLIN, 7);
    close(closed); // the entry stays as long as the description does
    add(epoll, seen_edge, EPOLLIN | EPOLLET, 8);
    give(seen_edge);
    expect(epoll, 8, EPOLLIN); // the edge was reported: no second report of it
    int twin = MUST(dup(epoll));
    char *was = entries(epoll);

    state_ready();

    char *is = entries(epoll);
    CHECK(strcmp(was, is) == 0, "the entries are\n%sbut were\n%s", is, was);
    EQUAL(fcntl(epoll, F_GETFD), FD_CLOEXEC);
    if (state_breaking()) give(level);
    struct epoll_event event = {0};
    int got = epoll_wait(epoll, &event, 1, 30);
    // A restored edge may be reported once more: a program must not lose one, but bears a second.
    if (got == 1) EQUAL(event.data.u64, 8);
    take(seen_edge);
    take(spent);
    give(spent);
    expect_none(epoll, "a one-shot entry that had fired");
    struct epoll_event again = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 33};
    MUST(epoll_ctl(epoll, EPOLL_CTL_MOD, spent, &again));
    expect(epoll, 33, EPOLLIN);
    give(level);
    expect(epoll, 0x1111222233334444, EPOLLIN);
    expect(twin, 0x1111222233334444, EPOLLIN);
    take(level);
    give(edge);
    expect(epoll, 2, EPOLLIN);
    expect_none(epoll, "an edge that was reported");
    give(edge);
    expect(epoll, 2, EPOLLIN);
    give(fresh);
    expect(epoll, 4, EPOLLIN);
    give(fresh);
    expect_none(epoll, "a one-shot entry that has fired");
    give(inner_fd);
    expect(epoll, 6, EPOLLIN);
    expect(other, 77, EPOLLIN);
    take(inner_fd);
    give(duplicate);
    expect(epoll, 7, EPOLLIN);
    close(duplicate);
    expect_none(epoll, "a description that is gone");
    close(ends[1]);
    expect(epoll, 5, EPOLLHUP);
    state_pass();
}
