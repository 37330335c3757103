// Descriptors and credentials in flight in unix sockets: a pipe end, a file, a socket and several at
// once, credentials with them, in the order of the messages.
#include <sys/socket.h>

#include "state.h"

struct letter {
    char text[32];
    int fds[8], count;
    struct ucred from;
};

static void post(int over, const char *text, const int *fds, int count) {
    char space[256] = {0};
    struct iovec data = {(void *)text, strlen(text)};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (count) {
        message.msg_control = space;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    }
    EQUAL(sendmsg(over, &message, 0), (ssize_t)strlen(text));
}

static struct letter fetch(int over) {
    struct letter letter = {{0}, {0}, 0, {0, 0, 0}};
    char space[256];
    struct iovec data = {letter.text, sizeof letter.text - 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    MUST(recvmsg(over, &message, MSG_DONTWAIT));
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_type == SCM_RIGHTS) {
            letter.count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(letter.fds, CMSG_DATA(header), letter.count * sizeof(int));
        } else if (header->cmsg_type == SCM_CREDENTIALS)
            memcpy(&letter.from, CMSG_DATA(header), sizeof letter.from);
    }
    return letter;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    int stream[2], datagram[2], pipe_ends[2], inner[2], on = 1;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagram));
    MUST(setsockopt(datagram[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    MUST(pipe(pipe_ends));
    EQUAL(write(pipe_ends[1], "in the pipe", 11), 11);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, inner));
    int file = MUST(open(state_path("file"), O_RDWR | O_CREAT, 0600));
    EQUAL(write(file, "content", 7), 7);
    MUST(lseek(file, 3, SEEK_SET));
    post(stream[0], "pipe", pipe_ends, 2);
    post(stream[0], "file", &file, 1);
    post(stream[0], "plain", NULL, 0);
    post(datagram[0], "credentials", NULL, 0);
    post(datagram[0], "socket", &inner[1], 1);
    // Nobody but the messages holds these now.
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    close(inner[1]);
    int kept = file;

    state_ready();

    struct letter letter = fetch(stream[1]);
    CHECK(strcmp(letter.text, "pipe") == 0 && letter.count == 2, "first %s with %d", letter.text, letter.count);
    char text[32] = {0};
    EQUAL(read(letter.fds[0], text, sizeof text), 11);
    state_ping(letter.fds[1], letter.fds[0]);
    letter = fetch(stream[1]);
    CHECK(strcmp(letter.text, "file") == 0 && letter.count == 1, "second %s with %d", letter.text, letter.count);
    EQUAL(lseek(letter.fds[0], 0, SEEK_CUR), 3);
    MUST(lseek(letter.fds[0], 5, SEEK_SET));
    EQUAL(lseek(kept, 0, SEEK_CUR), 5); // one description
    letter = fetch(stream[1]);
    CHECK(strcmp(letter.text, "plain") == 0 && letter.count == 0, "third %s with %d", letter.text, letter.count);
    letter = fetch(datagram[1]);
    CHECK(strcmp(letter.text, "credentials") == 0 && letter.from.pid == getpid() && letter.from.uid == getuid(),
          "%s from pid %d uid %u", letter.text, letter.from.pid, letter.from.uid);
    letter = fetch(datagram[1]);
    CHECK(strcmp(letter.text, "socket") == 0 && letter.count == 1, "%s with %d", letter.text, letter.count);
    state_ping(inner[0], letter.fds[0]);
    state_pass();
}
