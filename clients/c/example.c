/*
 * A server that numbers its requests and asks for an image of itself every so many of them. Killed and
 * restored, it goes on behind the last image: the number that it answers next says so.
 *
 *     cc -std=c11 -o example example.c torpor.c && ./example SOCKET [REQUESTS-PER-IMAGE]
 *
 * One line a request; the answer is "NUMBER LIFE": how many requests this process remembers, and how
 * often it was restored.
 */
#define _DEFAULT_SOURCE 1
#include "torpor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static torpor handle;

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(address.sun_path, path);
    unlink(path);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, 16) < 0) {
        perror(path);
        exit(1);
    }
    return listener;
}

int main(int count, char **words)
{
    unsigned long requests = 0, restored = 0;
    unsigned long per_image = count > 2 ? strtoul(words[2], NULL, 10) : 1000;
    if (count < 2 || strlen(words[1]) >= sizeof((struct sockaddr_un *)0)->sun_path || per_image == 0) {
        fprintf(stderr, "usage: %s SOCKET [REQUESTS-PER-IMAGE]\n", words[0]);
        return 2;
    }
    int listener = listen_at(words[1]);
    torpor_init(&handle, 0);
    torpor_result result;
    torpor_ready(&handle, &result);
    for (;;) {
        char request_text[256];
        int client = accept(listener, NULL, NULL);
        if (client < 0)
            continue;
        bool asked = read(client, request_text, sizeof request_text) > 0;
        if (asked)
            dprintf(client, "%lu %lu\n", ++requests, restored);
        close(client);
        if (!asked || requests % per_image != 0)
            continue;
        /* An image can't hold the other end of a connection, also of one that waits to be accepted. */
        close(listener);
        torpor_request request = {.label = "every so many requests", .keep = 0};
        switch (torpor_checkpoint(&handle, &request, &result)) {
        case TORPOR_RESTORED:
            restored++; /* and here a program with secrets or random numbers makes new ones */
            break;
        case TORPOR_FAILED:
            fprintf(stderr, "no image: %s\n", result.message);
            break;
        default:
            break;
        }
        listener = listen_at(words[1]);
    }
}
