// timerfd: armed relative and absolute, periodic with ticks not yet read, run out and unread,
// disarmed, cancel-on-set, non-blocking, shared by a duplicate.
#include <sys/timerfd.h>

#include "state.h"

static void check(int fd, long value, long interval) {
    struct itimerspec now;
    MUST(timerfd_gettime(fd, &now));
    EQUAL(now.it_interval.tv_sec, interval);
    CHECK(now.it_value.tv_sec <= value && now.it_value.tv_sec > value - 120,
          "timerfd %d: %ld s left of %ld", fd, now.it_value.tv_sec, value);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    struct timespec wall;
    MUST(clock_gettime(CLOCK_REALTIME, &wall));
    int relative = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
    int absolute = MUST(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC));
    int ticked = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    int ran_out = MUST(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK));
    int disarmed = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    int cancelled = MUST(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
    MUST(timerfd_settime(relative, 0, &(struct itimerspec){{7, 0}, {1000, 0}}, NULL));
    MUST(timerfd_settime(absolute, TFD_TIMER_ABSTIME,
                         &(struct itimerspec){{9, 0}, {wall.tv_sec + 2000, 0}}, NULL));
    MUST(timerfd_settime(ticked, 0, &(struct itimerspec){{0, 5000000}, {0, 5000000}}, NULL));
    MUST(timerfd_settime(ran_out, 0, &(struct itimerspec){{0, 0}, {0, 1000}}, NULL));
    MUST(timerfd_settime(cancelled, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET,
                         &(struct itimerspec){{0, 0}, {wall.tv_sec + 3000, 0}}, NULL));
    int twin = MUST(dup(ticked));
    usleep(60000);

    state_ready();

    check(relative, 1000, 7);
    check(absolute, 2000, 9);
    check(cancelled, 3000, 0);
    EQUAL(fcntl(absolute, F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(absolute, F_GETFL) & O_NONBLOCK, "O_NONBLOCK was lost");
    CHECK(!(fcntl(relative, F_GETFL) & O_NONBLOCK), "O_NONBLOCK came from nowhere");
    uint64_t ticks = 0;
    EQUAL(read(ran_out, &ticks, 8), 8);
    EQUAL(ticks, 1);
    CHECK(read(ran_out, &ticks, 8) == -1 && errno == EAGAIN, "a second tick of a one-shot timer");
    EQUAL(read(twin, &ticks, 8), 8);
    CHECK(ticks >= 11, "%" PRIu64 " ticks were kept, at least 11 had come", ticks);
    struct itimerspec now;
    MUST(timerfd_gettime(ticked, &now));
    EQUAL(now.it_interval.tv_nsec, 5000000);
    struct pollfd wait = {.fd = ticked, .events = POLLIN};
    EQUAL(poll(&wait, 1, 5000), 1);
    MUST(timerfd_gettime(disarmed, &now));
    EQUAL(now.it_value.tv_sec + now.it_value.tv_nsec + now.it_interval.tv_nsec, 0);
    MUST(timerfd_settime(disarmed, 0, &(struct itimerspec){{0, 0}, {0, 1000000}}, NULL));
    wait.fd = disarmed;
    EQUAL(poll(&wait, 1, 5000), 1);
    // A relative timer that is set anew still blocks a reader.
    MUST(timerfd_settime(relative, 0, &(struct itimerspec){{0, 0}, {0, 20000000}}, NULL));
    EQUAL(read(relative, &ticks, 8), 8);
    EQUAL(ticks, 1);
    state_pass();
}
