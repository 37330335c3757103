// POSIX message queues: messages with priorities, attributes, flags, a notification, a queue whose
// name was removed.
#include <mqueue.h>

#include "state.h"

static volatile int notified;

static void handler(int n, siginfo_t *info, void *context) {
    (void)n;
    (void)context;
    notified = info->si_value.sival_int;
}

static void expect(mqd_t queue, const char *text, unsigned priority) {
    char is[128] = {0};
    unsigned got = 0;
    ssize_t length = mq_receive(queue, is, sizeof is, &got);
    CHECK(length == (ssize_t)strlen(text) && strcmp(is, text) == 0 && got == priority, "%s with %u (%s), not %s with %u", is,
          got, length < 0 ? strerror(errno) : "", text, priority);
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    MUST(sigaction(SIGUSR1, &(struct sigaction){.sa_sigaction = handler, .sa_flags = SA_SIGINFO}, NULL));
    char name[64], gone_name[64];
    snprintf(name, sizeof name, "/torpor-state-%d", getpid());
    snprintf(gone_name, sizeof gone_name, "/torpor-state-%d-gone", getpid());
    struct mq_attr attributes = {.mq_maxmsg = 7, .mq_msgsize = 100}, is;
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0620, &attributes);
    if (queue == (mqd_t)-1) state_skip("mq_open: %s", strerror(errno));
    mqd_t gone = MUST(mq_open(gone_name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes));
    MUST(mq_unlink(gone_name));
    mqd_t reader = MUST(mq_open(name, O_RDONLY | O_NONBLOCK));
    MUST(mq_send(queue, "low", 3, 1));
    MUST(mq_send(queue, "high", 4, 9));
    MUST(mq_send(queue, "low too", 7, 1));
    MUST(mq_send(gone, "nameless", 8, 3));
    mqd_t told = MUST(mq_open(name, O_WRONLY));
    (void)told;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42};
    char empty_name[64];
    snprintf(empty_name, sizeof empty_name, "/torpor-state-%d-empty", getpid());
    mqd_t empty = MUST(mq_open(empty_name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes));
    MUST(mq_notify(empty, &event));

    state_ready();

    MUST(mq_getattr(queue, &is));
    CHECK(is.mq_maxmsg == 7 && is.mq_msgsize == 100 && is.mq_curmsgs == 3 && (is.mq_flags & O_NONBLOCK), "attributes %ld %ld %ld %lx",
          is.mq_maxmsg, is.mq_msgsize, is.mq_curmsgs, is.mq_flags);
    expect(reader, "high", 9);
    expect(queue, "low", 1);
    expect(queue, "low too", 1);
    CHECK(mq_receive(reader, (char[100]){0}, 100, NULL) == -1 && errno == EAGAIN, "a message too many");
    expect(gone, "nameless", 3);
    MUST(mq_send(gone, "more", 4, 0));
    expect(gone, "more", 0);
    CHECK(mq_open(gone_name, O_RDONLY) == (mqd_t)-1, "the removed name is back");
    EQUAL(notified, 0);
    MUST(mq_send(empty, "ring", 4, 0));
    AWAIT(notified == 42, "no notification");
    MUST(mq_unlink(name));
    MUST(mq_unlink(empty_name));
    state_pass();
}
