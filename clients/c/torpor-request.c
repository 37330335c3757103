/*
 * torpor-request: an application's requests from a shell. Usable in a capsule; elsewhere it says
 * "unavailable" and does nothing.
 */
#include "torpor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "torpor-request: asks the agent on behalf of the application that runs it\n"
    "\n"
    "  torpor-request checkpoint [--label L] [--ticket T] [--keep | --replace] [--no-wait]\n"
    "  torpor-request outcome TICKET\n"
    "  torpor-request images\n"
    "  torpor-request restore (--image ID | --label L)\n"
    "  torpor-request status\n"
    "  torpor-request heartbeat | ready\n"
    "  torpor-request inhibit REASON [--for SECONDS]      prints a token; 60 seconds unless said otherwise\n"
    "  torpor-request allow TOKEN\n"
    "\n"
    "The first word of the output is the outcome: saved, restored, pending, done, unavailable (not in a\n"
    "capsule, or nobody listens), unknown, failed. \"saved\" is followed by the image's id, \"restored\" by\n"
    "id, occurrence (\"-\" if not known) and milliseconds since the image. images and status print JSON.\n"
    "\n"
    "Like fork(2), checkpoint returns again, with \"restored\", in each later life of the image.\n"
    "\n"
    "Exit status: 0 saved, restored, pending, done or unavailable; 1 failed, or the ticket is unknown (why\n"
    "is on standard error); 2 usage. With --status before the command: 10 restored, 11 pending,\n"
    "12 unavailable.\n";

static torpor handle;
static torpor_result result;

static int refuse(const char *what)
{
    fprintf(stderr, "torpor-request: %s\n\n%s", what, usage);
    return 2;
}

static int report(bool distinct)
{
    switch (result.outcome) {
    case TORPOR_SAVED:
        printf("saved %s\n", result.image_id);
        return 0;
    case TORPOR_RESTORED:
        printf("restored %s %s %.0f\n", result.image_id, result.occurrence[0] ? result.occurrence : "-",
               result.elapsed_ms);
        return distinct ? 10 : 0;
    case TORPOR_PENDING:
        puts("pending");
        return distinct ? 11 : 0;
    case TORPOR_UNAVAILABLE:
        puts("unavailable");
        return distinct ? 12 : 0;
    case TORPOR_DONE:
        puts("done");
        return 0;
    case TORPOR_UNKNOWN:
        puts("unknown");
        fputs("torpor-request: the agent does not know this ticket\n", stderr);
        return 1;
    case TORPOR_FAILED:
        break;
    }
    puts("failed");
    fprintf(stderr, "torpor-request: %s%s%s\n", result.message, result.code[0] ? " " : "",
            result.code[0] ? result.code : "");
    return 1;
}

/* The value of an option; NULL when it is the last word. */
static const char *value(char **arguments, int *at)
{
    return arguments[*at + 1] == NULL ? NULL : arguments[++*at];
}

static int checkpoint(char **arguments, bool distinct)
{
    torpor_request request = {.keep = -1};
    char ticket[TORPOR_TICKET_SIZE];
    for (int i = 0; arguments[i] != NULL; i++) {
        const char **text = strcmp(arguments[i], "--label") == 0    ? &request.label
                            : strcmp(arguments[i], "--ticket") == 0 ? &request.ticket
                                                                    : NULL;
        if (text != NULL) {
            const char *option = arguments[i];
            if ((*text = value(arguments, &i)) == NULL) {
                fprintf(stderr, "torpor-request: %s needs a value\n", option);
                return 2;
            }
        } else if (strcmp(arguments[i], "--keep") == 0) {
            request.keep = 1;
        } else if (strcmp(arguments[i], "--replace") == 0) {
            request.keep = 0;
        } else if (strcmp(arguments[i], "--no-wait") == 0) {
            request.no_wait = true;
        } else {
            return refuse("checkpoint does not know this option");
        }
    }
    if (request.ticket == NULL) {
        torpor_ticket(ticket);
        request.ticket = ticket;
    }
    torpor_checkpoint(&handle, &request, &result);
    if (result.outcome == TORPOR_PENDING) {
        printf("pending %s\n", request.ticket);
        return distinct ? 11 : 0;
    }
    return report(distinct);
}

static int print_json(const char *method, bool distinct)
{
    const char *answer;
    if (torpor_call(&handle, method, NULL, &answer, &result) != TORPOR_DONE)
        return report(distinct);
    /* The answer is followed by the brace that closes its message. */
    printf("%.*s\n", (int)strlen(answer) - 1, answer);
    return 0;
}

static int inhibit(char **arguments, bool distinct)
{
    char token[TORPOR_TOKEN_SIZE];
    double seconds = 60;
    if (arguments[0] == NULL)
        return refuse("inhibit needs a reason");
    if (arguments[1] != NULL) {
        char *end = NULL;
        if (strcmp(arguments[1], "--for") != 0 || arguments[2] == NULL)
            return refuse("inhibit does not know this option");
        seconds = strtod(arguments[2], &end);
        if (*end != '\0' || !(seconds > 0 && seconds <= 600))
            return refuse("--for needs a number of seconds, up to 600");
    }
    if (torpor_inhibit(&handle, arguments[0], (int)(seconds * 1000), token, &result) != TORPOR_DONE)
        return report(distinct);
    puts(token);
    return 0;
}

static int restore(char **arguments, bool distinct)
{
    if (arguments[0] == NULL || arguments[1] == NULL || arguments[2] != NULL)
        return refuse("restore needs --image ID or --label L");
    if (strcmp(arguments[0], "--image") == 0)
        torpor_restore(&handle, arguments[1], NULL, &result);
    else if (strcmp(arguments[0], "--label") == 0)
        torpor_restore(&handle, NULL, arguments[1], &result);
    else
        return refuse("restore needs --image ID or --label L");
    return report(distinct);
}

int main(int count, char **words)
{
    bool distinct = count > 1 && strcmp(words[1], "--status") == 0;
    char **arguments = words + 1 + distinct;
    const char *command = arguments[0];
    if (command == NULL)
        return refuse("no command");
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    arguments++;
    torpor_init(&handle, 0);
    if (strcmp(command, "checkpoint") == 0)
        return checkpoint(arguments, distinct);
    if (strcmp(command, "inhibit") == 0)
        return inhibit(arguments, distinct);
    if (strcmp(command, "restore") == 0)
        return restore(arguments, distinct);
    bool takes_one = strcmp(command, "outcome") == 0 || strcmp(command, "allow") == 0;
    if ((arguments[0] != NULL) != takes_one || (takes_one && arguments[1] != NULL))
        return refuse(takes_one ? "it needs one value" : "too many or unknown words");
    if (strcmp(command, "outcome") == 0)
        torpor_outcome_of(&handle, arguments[0], &result);
    else if (strcmp(command, "allow") == 0)
        torpor_allow(&handle, arguments[0], &result);
    else if (strcmp(command, "heartbeat") == 0)
        torpor_heartbeat(&handle, &result);
    else if (strcmp(command, "ready") == 0)
        torpor_ready(&handle, &result);
    else if (strcmp(command, "images") == 0 || strcmp(command, "status") == 0)
        return print_json(command, distinct);
    else
        return refuse("there is no such command");
    return report(distinct);
}
