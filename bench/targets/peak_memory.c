// Runs a command and adds one line to a file: its peak resident memory in KiB. `peak_memory FILE COMMAND ARG…`
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    pid_t child = fork();
    if (child < 0) return 2;
    if (child == 0) {
        execv(argv[2], argv + 2);
        _exit(127);
    }
    int status;
    struct rusage used;
    if (wait4(child, &status, 0, &used) != child) return 2;
    FILE *file = fopen(argv[1], "a");
    if (file == NULL) return 2;
    fprintf(file, "%ld\n", used.ru_maxrss);
    fclose(file);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
