/* Ranks over MPI, through the comm of adapters/mpi; a build without MPI only notices that there would be ranks. */
#include "ranks.h"
#include "temporary.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef ENTROL_HAVE_MPI
#include <entrol_mpi.h>
#endif

enum { PIECE = 1 << 20, TAG = 1 };

static struct {
    entrol_comm comm;
    bool is_begun; /* MPI is */
    bool is_lost;  /* a message failed: no more of them */
#ifdef ENTROL_HAVE_MPI
    entrol_mpi mpi;
#endif
} own = {.comm = {.size = 1}};

size_t ranks_rank(void) {
    return own.comm.rank;
}

size_t ranks_size(void) {
    return own.comm.size;
}

const entrol_comm *ranks_comm(void) {
    return own.comm.size > 1 ? &own.comm : NULL;
}

/* --- Counts --- */

bool ranks_add_up(uint64_t *counts, size_t n, trouble *trouble) {
    if (own.comm.size == 1)
        return true;
    own.is_lost = own.is_lost || own.comm.all_reduce(own.comm.user, counts, n) != 0;
    return !own.is_lost || trouble_set(trouble, "the other processes cannot be reached");
}

bool ranks_agree(bool ok, trouble *trouble) {
    struct trouble lost; /* beside a trouble of its own */
    uint64_t n_failed = !ok;
    if (!ranks_add_up(&n_failed, 1, ok ? trouble : &lost))
        return false;
    if (ok && n_failed > 0)
        trouble->text[0] = '\0';
    return n_failed == 0;
}

bool ranks_tell(uint64_t *of, const uint64_t *own_numbers, size_t n, trouble *trouble) {
    memset(of, 0, own.comm.size * n * sizeof(*of));
    memcpy(of + own.comm.rank * n, own_numbers, n * sizeof(*of));
    return ranks_add_up(of, own.comm.size * n, trouble);
}

/* The first rank that says yes; the size where none does. 64 of them a message. */
static size_t first_of(bool is_it) {
    struct trouble lost;
    for (size_t begin = 0; begin < own.comm.size; begin += 64) {
        const size_t place = own.comm.rank - begin; /* huge where it is below */
        uint64_t bits = is_it && place < 64 ? (uint64_t)1 << place : 0;
        if (!ranks_add_up(&bits, 1, &lost))
            return own.comm.rank;
        for (size_t i = 0; i < 64; i++)
            if (bits >> i & 1)
                return begin + i;
    }
    return own.comm.size;
}

int ranks_report(const trouble *trouble) {
    if (first_of(trouble->text[0] != '\0') != own.comm.rank)
        return EXIT_ERROR;
    message_silence(false);
    message_trouble(trouble);
    message_silence(own.comm.rank > 0);
    return EXIT_ERROR;
}

/* --- The launcher --- */

typedef struct launch {
    const char *variable; /* that tells; NULL: none */
    uint64_t n;           /* processes; 0: it does not say how many */
} launch;

/* Open MPI, MVAPICH, and what speaks PMI: MPICH, Intel MPI, Slurm. PMIx tells a process only its rank; Slurm the rest.
 */
static launch look_for_launch(void) {
    static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "PMI_SIZE"};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (getenv(sizes[i]) != NULL)
            return (launch){sizes[i], strtoull(getenv(sizes[i]), NULL, 10)};
    if (getenv("PMIX_RANK") == NULL)
        return (launch){NULL, 1};
    const char *n = getenv("SLURM_STEP_NUM_TASKS");
    return (launch){"PMIX_RANK", n != NULL ? strtoull(n, NULL, 10) : 0};
}

/* ENTROL_MPI=off: whatever the launcher says, each process is alone. */
static bool is_wanted(bool *wanted) {
    const char *text = getenv("ENTROL_MPI");
    *wanted = text == NULL || strcmp(text, "off") != 0;
    if (!*wanted || text == NULL || *text == '\0' || strcmp(text, "on") == 0)
        return true;
    message_error("ENTROL_MPI=%s: expected on or off", text);
    return false;
}

/* --- MPI --- */

#ifdef ENTROL_HAVE_MPI

const char *ranks_library(void) {
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int n = 0;
    if (MPI_Get_library_version(text, &n) != MPI_SUCCESS)
        return "of an unknown version";
    text[strcspn(text, ",\n\t")] = '\0'; /* how it was built follows */
    return text;
}

uint64_t ranks_n_bytes(void) {
    return own.mpi.n_bytes;
}

/* Standard output is rank 0's alone. */
static void become_silent(void) {
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere >= 0) {
        dup2(nowhere, STDOUT_FILENO);
        close(nowhere);
    }
    message_silence(true);
}

/* Several commands under one launcher would wait for messages that the others never send. */
static bool have_same_arguments(int argc, char **argv) {
    uint64_t digest = 0xcbf29ce484222325u; /* FNV-1a */
    trouble trouble = {""};
    for (int i = 0; i < argc; i++)
        for (size_t j = 0; j <= strlen(argv[i]); j++)
            digest = (digest ^ (unsigned char)argv[i][j]) * 0x100000001b3u;
    uint64_t of_first = own.comm.rank == 0 ? digest : 0;
    bool ok = ranks_add_up(&of_first, 1, &trouble);
    if (ok && of_first != digest)
        ok = trouble_set(&trouble,
                         "process %zu was given other arguments than process 0: those that one mpirun starts "
                         "share one command's work (ENTROL_MPI=off: each does its own)",
                         own.comm.rank);
    if (ranks_agree(ok, &trouble))
        return true;
    ranks_report(&trouble);
    return false;
}

static bool join(const launch *launch) {
    int provided;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) {
        message_error("MPI cannot be begun");
        return false;
    }
    own.is_begun = true;
    if (entrol_mpi_begin(&own.mpi, &own.comm, MPI_COMM_WORLD) != ENTROL_OK) {
        message_error("MPI has no communicator");
        return false;
    }
    if (launch->n != 0 && launch->n != own.comm.size) {
        message_error("%s says that there are %" PRIu64 " processes, and %s sees %zu: start them with its own mpirun "
                      "(ENTROL_MPI=off: each is alone)",
                      launch->variable, launch->n, ranks_library(), own.comm.size);
        return false;
    }
    if (own.comm.rank > 0)
        become_silent();
    return true;
}

bool ranks_begin(int argc, char **argv) {
    const launch launch = look_for_launch();
    bool wanted;
    if (!is_wanted(&wanted))
        return false;
    return !wanted || launch.n == 1 || (join(&launch) && have_same_arguments(argc, argv));
}

int ranks_end(int exit_code) {
    uint64_t n_with[EXIT_ERROR + 1] = {0};
    trouble lost;
    if (!own.is_begun)
        return exit_code;
    n_with[exit_code < EXIT_ERROR ? exit_code : EXIT_ERROR] = 1;
    if (!ranks_add_up(n_with, EXIT_ERROR + 1, &lost))
        MPI_Abort(MPI_COMM_WORLD, EXIT_ERROR);
    for (int greater = exit_code + 1; greater <= EXIT_ERROR; greater++)
        if (n_with[greater] > 0)
            exit_code = greater;
    entrol_mpi_end(&own.mpi);
    MPI_Finalize();
    return exit_code;
}

/* --- What ranks have written --- */

static bool check(int status, trouble *trouble) {
    own.is_lost = own.is_lost || status != MPI_SUCCESS;
    return !own.is_lost || trouble_set(trouble, "the other processes cannot be reached");
}

/* The next piece of the file; what is shorter than a piece is the last one, as is what could not be read. */
static bool send_file(int fd, char *piece, trouble *trouble) {
    const MPI_Comm all = own.mpi.communicator;
    bool ok = true;
    ssize_t n = PIECE;
    for (uint64_t place = 0; n == PIECE; place += PIECE) {
        n = temporary_read(fd, piece, PIECE, place, trouble);
        ok = n >= 0;
        if (!check(MPI_Send(piece, ok ? (int)n : 0, MPI_BYTE, 0, TAG, all), trouble))
            return false;
    }
    return ok;
}

static bool receive_file(output *output, int rank, char *piece, trouble *trouble) {
    const MPI_Comm all = own.mpi.communicator;
    bool ok = true;
    for (int n = PIECE; n == PIECE;) {
        MPI_Status status;
        if (!check(MPI_Recv(piece, PIECE, MPI_BYTE, rank, TAG, all, &status), trouble) ||
            !check(MPI_Get_count(&status, MPI_BYTE, &n), trouble))
            return false;
        ok = ok && output_write(output, piece, (size_t)n, trouble); /* what was sent must be taken in any case */
    }
    return ok;
}

static bool copy_file(output *output, int fd, char *piece, trouble *trouble) {
    ssize_t n = PIECE;
    for (uint64_t place = 0; n == PIECE; place += PIECE) {
        n = temporary_read(fd, piece, PIECE, place, trouble);
        if (n < 0 || !output_write(output, piece, (size_t)n, trouble))
            return false;
    }
    return true;
}

/* Rank 0 asks one after the other, as long as it is well, so that none sends in vain, or before it is wanted. */
static bool ask_all(output *output, char *piece, bool ok, trouble *trouble) {
    const MPI_Comm all = own.mpi.communicator;
    for (int rank = 1; rank < (int)own.comm.size; rank++) {
        const unsigned char go = ok;
        struct trouble lost;
        if (!check(MPI_Send(&go, 1, MPI_BYTE, rank, TAG, all), ok ? trouble : &lost))
            return false;
        ok = ok && receive_file(output, rank, piece, trouble);
    }
    return ok;
}

static bool answer(int fd, char *piece, trouble *trouble) {
    unsigned char go = 0;
    if (!check(MPI_Recv(&go, 1, MPI_BYTE, 0, TAG, own.mpi.communicator, MPI_STATUS_IGNORE), trouble))
        return false;
    return go == 0 || send_file(fd, piece, trouble);
}

bool ranks_collect(output *output, int fd, trouble *trouble) {
    char *piece = malloc(PIECE);
    bool ok = ranks_agree(piece != NULL || trouble_set(trouble, "out of memory"), trouble);
    if (ok && own.comm.rank == 0)
        ok = ask_all(output, piece, copy_file(output, fd, piece, trouble), trouble);
    else if (ok)
        ok = answer(fd, piece, trouble);
    free(piece);
    return ok;
}

#else

const char *ranks_library(void) {
    return NULL;
}

uint64_t ranks_n_bytes(void) {
    return 0;
}

bool ranks_begin(int argc, char **argv) {
    const launch launch = look_for_launch();
    bool wanted;
    (void)argc;
    (void)argv;
    if (!is_wanted(&wanted))
        return false;
    if (!wanted || launch.n == 1)
        return true;
    message_error("%s: several processes were started, and each would do the whole: this entrol is built without MPI "
                  "(ENTROL_MPI=off lets them)",
                  launch.variable);
    return false;
}

int ranks_end(int exit_code) {
    return exit_code;
}

bool ranks_collect(output *output, int fd, trouble *trouble) {
    (void)output;
    (void)fd;
    return trouble_set(trouble, "there are no other processes");
}

#endif
