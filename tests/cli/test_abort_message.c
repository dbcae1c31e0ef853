/* An abort() inside a library becomes a message and exit status 2, and only while it is asked for. */
#include "harness.h"

#include "abort_message.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child that aborts says on standard error, and how it ends. */
static int run_child(char *said, size_t size, bool guarded) {
    int ends[2], status = 0;
    CHECK(pipe(ends) == 0);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL); /* the harness has a handler of its own */
        dup2(ends[1], STDERR_FILENO);
        abort_message_begin("model.gguf", "the library gave up");
        if (!guarded)
            abort_message_end();
        abort();
    }
    close(ends[1]);
    size_t n_said = 0; /* the message comes in pieces */
    ssize_t n = 0;
    while ((n = read(ends[0], said + n_said, size - 1 - n_said)) > 0)
        n_said += (size_t)n;
    said[n_said] = 0;
    close(ends[0]);
    waitpid(child, &status, 0);
    return status;
}

static void test_abort_is_an_error(void) {
    char said[256];
    const int status = run_child(said, sizeof said, true);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    CHECK_STRING(said, "entrol: model.gguf: the library gave up\n");
}

static void test_abort_stays_an_abort_elsewhere(void) {
    char said[256];
    const int status = run_child(said, sizeof said, false);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK_STRING(said, "");
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_abort_is_an_error);
    TEST(test_abort_stays_an_abort_elsewhere);
    return test_end();
}
