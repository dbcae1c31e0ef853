/* Lines of the filter: what is taken is a finite sum and a count from 1 on, and can be observed; what is not is named.
 */
#include "control/control.h"
#include "fuzz.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static entrol_context *context;
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    options.n_threads = 1;
    if (!context)
        fuzz_require(entrol_context_create(&context, &options) == ENTROL_OK);
    char *line = malloc(size + 1);
    fuzz_require(line != NULL);
    if (size > 0)
        memcpy(line, data, size);
    line[size] = 0;
    double sum = 0;
    uint64_t count = 0;
    trouble trouble = {""};
    if (!control_parse_line(&sum, &count, "fuzz", 7, line, size, &trouble)) {
        fuzz_require(strncmp(trouble.text, "fuzz:7: expected ", 17) == 0);
        free(line);
        return 0;
    }
    fuzz_require(isfinite(sum) && count >= 1 && strlen(line) == size);
    entrol_controller *controller = NULL;
    entrol_command command = ENTROL_COMMAND_INIT;
    entrol_setting target = {"target", 0.5, "0.5"};
    fuzz_require(entrol_controller_create(context, &controller, NULL, "pi", &target, 1, NULL) == ENTROL_OK);
    const entrol_status status = entrol_controller_observe(context, &command, NULL, controller, sum, count);
    fuzz_require(status == ENTROL_OK || (status == ENTROL_ERROR_DATA && fabs(sum) >= 0x1p62));
    buffer answer = {0};
    control_append_answer(&answer, &command, entrol_controller_kind_of(controller), true);
    fuzz_require(!answer.failed && answer.size > 0 && answer.data[answer.size - 1] == '\n');
    buffer_free(&answer);
    entrol_controller_destroy(context, controller);
    free(line);
    return 0;
}
