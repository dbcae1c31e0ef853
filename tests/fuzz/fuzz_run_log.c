/* Logs of runs in any form: read or refused with the place; what is read is diagnosed, and the diagnosis printed. */
#include "diagnose/diagnose.h"
#include "fuzz.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static entrol_context *context;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 1;
    if (!context)
        fuzz_require(entrol_context_create(&context, &options) == ENTROL_OK);
    char *bytes = malloc(size + 1);
    fuzz_require(bytes != NULL);
    if (size > 0)
        memcpy(bytes, data, size);
    bytes[size] = 0;
    const diagnose_settings settings = {.confidence = 0.95};
    run_log log;
    trouble trouble = {""};
    if (!run_read_memory(&log, "fuzz", bytes, size, NULL, &trouble)) {
        fuzz_require(strncmp(trouble.text, "fuzz", 4) == 0);
    } else if (log.n > 0) {
        diagnosis_of_run found;
        buffer out = {0};
        for (size_t i = 0; i < log.n; i++)
            fuzz_require(isfinite(log.columns[RUN_ENTROPY][i]));
        if (run_diagnose(context, &found, &log, &settings, &trouble)) {
            run_print(&out, &found, &log, "fuzz", 0.95);
            run_print_json(&out, &found, &log, "fuzz", 0.95);
            fuzz_require(!out.failed);
        } else {
            fuzz_require(trouble.text[0] != '\0');
        }
        buffer_free(&out);
    }
    run_free(&log);
    free(bytes);
    return 0;
}
