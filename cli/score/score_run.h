/* One run of `entrol score`: its flags, its inputs, and where each scored document goes. */
#ifndef CLI_SCORE_SCORE_RUN_H
#define CLI_SCORE_SCORE_RUN_H

#include "../formats/container.h"
#include "../progress.h"
#include "score.h"

/* A text that waits until enough of them have come to be scored together: one, or with --pack several. */
typedef struct score_waiting {
    text_document text;
    buffer id;
    uint64_t hash;
} score_waiting;

/* An input that has been looked at. */
typedef struct score_look {
    input *stream;          /* what can be read only once stays open; NULL: the path is opened again */
    texts *texts;           /* the same, of which the first document may have been read */
    bool is_known;          /* false until its turn comes, for one of several named pipes */
    bool is_logits, is_kld; /* the second: logits as llama-perplexity writes them */
    bool is_recorded, is_passed_over;
    bool is_unreadable; /* its first line, which is said when it is read again */
} score_look;

/* Why a run ended before its end, where that decides what to do about it. */
typedef enum score_end {
    SCORE_END_TROUBLE,
    SCORE_END_BAD_LINE,   /* or another document that cannot be scored: --skip-bad would go on */
    SCORE_END_OTHER_INPUT /* than the run had that is resumed */
} score_end;

typedef struct score_run {
    const score_companion *companion; /* of compare; NULL: none */
    /* The flags. */
    score_settings settings;
    const char *columns, *level, *output_path, *targets, *sample, *unit;
    char *journal_path; /* the file behind output_path; NULL where the output is a stream, with no journal and no
                           manifest */
    bool resume, dry_run, renyi_given;
    bool is_done; /* before it began: see score_run_is_done */
    int64_t seed;
    double share; /* of --sample */
    char **inputs;
    int n_inputs, n_logits, n_kld, n_recorded;
    /* What is open. */
    score_look *looked; /* at each of inputs */
    entrol_context *context;
    scorer *scorer; /* NULL until the first text */
    output *output;
    container_writer *container; /* NULL: lines */
    score_journal *journal;      /* NULL on a stream, with a container and with --pack */
    json_t *settings_json;
    progress progress;
    buffer line;
    score_waiting *waiting; /* room for settings.n_pack */
    size_t n_waiting;
    /* What has been done. */
    score_summary summary;
    scorer_perplexity perplexity; /* --compat */
    score_end end;
    uint64_t n_seen; /* documents, chosen by --sample or not */
    size_t n_chosen;
    uint64_t n_bytes, n_flushed; /* of output: written, and safe */
    /* To guess how far the run is. The first is 0 where it is unknown; the last is what an interrupted run had done. */
    uint64_t input_bytes, input_bytes_done, input_bytes_had;
    double seconds_loading;
    bool has_sampled; /* probabilities after sampling: said once */
} score_run;

/* Whether an input at its start holds logits, by its first bytes or its name. */
bool score_is_logits(bool *is_logits, const char *path, input *input, trouble *trouble);

/* Looks at every input: which are logits, which recorded log-probabilities, and how large they are; and refuses flags
 * that do not go with these. The model is found where there may be texts. */
bool score_inputs_check(score_run *run, trouble *trouble);
/* At one, if that could not be done before. */
bool score_inputs_look_at(score_run *run, int index, trouble *trouble);
/* An input that cannot be read as texts: a warning with --skip-bad, else false. */
bool score_inputs_pass_over(score_run *run, const trouble *why);
/* An input at its start, once; the caller's. */
input *score_inputs_open(score_run *run, int index, trouble *trouble);
/* The same of texts or recorded log-probabilities. */
texts *score_inputs_open_texts(score_run *run, int index, trouble *trouble);
void score_inputs_free(score_run *run);

bool score_texts_input(score_run *run, int index, trouble *trouble);
/* Scores the texts that still wait: before other inputs, and at the end. */
bool score_texts_flush(score_run *run, trouble *trouble);
void score_texts_free(score_run *run);
/* The choices of a line of recorded log-probabilities. */
bool score_recorded_line(score_run *run, const char *path, const text_document *line, uint64_t hash, trouble *trouble);
bool score_logits_input(score_run *run, int index, trouble *trouble);
/* What madvise says of mapped logits: MADV_DONTNEED gives back the pages of rows that are done. */
void score_logits_advise(const void *from, size_t n_bytes, int advice);

/* The whole of a run whose flags have been read: checks them and the inputs, scores, writes, says how it went. Frees
 * what the run holds. argv[0] is the command's name; returns the exit code. */
int score_run_command(score_run *run, const operands *operands, int argc, char **argv);
bool score_kld_input(score_run *run, int index, trouble *trouble);
/* Adds the documents and rows of it that --sample chooses. */
bool score_kld_count(score_run *run, int index, uint64_t *n_documents, uint64_t *n_rows, trouble *trouble);

/* --sample: whether the next document is in the share. It depends on --seed and the document's number only. */
bool score_run_chooses(score_run *run);
/* 1 if the interrupted run has this document already, 0 if not, -1 if it had another one there. */
int score_run_has(score_run *run, uint64_t hash, const char *where, trouble *trouble);
/* Whether the inputs went on as far as the interrupted run had come. */
bool score_run_has_all(score_run *run, trouble *trouble);
/* The model, loaded at first use; NULL for trouble. */
scorer *score_run_scorer(score_run *run, trouble *trouble);
/* Makes of a scored document what is written: the wanted columns, or at --level sample its statistics. */
bool score_run_shape(const score_run *run, document *document, const score_totals *totals, trouble *trouble);
/* Adds a scored document to the totals and writes it. `durable`: it cost so much that it is flushed at once. */
bool score_run_emit(score_run *run, document *document, uint64_t hash, const entrol_diagnosis *bad, bool durable,
                    trouble *trouble);

/* --dry-run: what there is, how long it would take, and how much it would write. */
bool score_estimate(score_run *run, trouble *trouble);

/* The settings that decide the output's bytes, as JSON: for the journal and the manifest. NULL for trouble. */
json_t *score_run_settings(const score_run *run, trouble *trouble);
/* Where a flag said "the default", what that was, and which model it was. For the manifest: the journal compares flags.
 */
void score_run_set_scorer(json_t *manifest, const scorer *scorer);
/* --resume: whether the output is there already, newer than its inputs and with a manifest of the same settings,
 * version and sizes of inputs. The summary gets its counts. */
bool score_run_is_done(score_run *run);
bool score_run_write_manifest(const score_run *run, int argc, char **argv, trouble *trouble);

#endif
