/* entrol_policy_sample: an action of every row, of (seed, row) and the row's parameters alone. */
#include "batch.h"

#include "base/context.h"

typedef struct call {
    ent_batch batch;
    entrol_policy_sample_options options;
    const entrol_destination *actions, *before; /* NULL: not wanted */
} call;

static ent_fault sample_row(const call *call, const ent_row_memory *memory, size_t index, double *action,
                            double *before) {
    const ent_shape *shape = &call->batch.shape;
    const ent_needs needs = {0, 0, 0};
    ent_loaded loaded;
    ent_batch_load(&loaded, &call->batch, memory, index, needs);
    if (loaded.of_policy.reason != ENTROL_REASON_NONE)
        return loaded.of_policy;
    ent_draws draws = ent_draws_begin(call->options.seed, call->options.first_row + index);
    call->batch.distribution->sample(action, before, &loaded.row, call->options.is_deterministic ? NULL : &draws);
    ent_fault fault = ent_find_infinite(action, shape->n_actions);
    if (call->before && fault.reason == ENTROL_REASON_NONE)
        fault = ent_find_infinite(before, shape->n);
    if (fault.reason != ENTROL_REASON_NONE)
        fault.reason = ENTROL_REASON_PARAMETER;
    return fault;
}

static void sample_rows(void *argument, const ent_row_memory *memory, size_t begin, size_t end,
                        entrol_diagnosis *found) {
    const call *call = argument;
    const ent_shape *shape = &call->batch.shape;
    double *action = memory->slopes_first, *before = memory->d_action;
    for (size_t row = begin; row < end; row++) {
        const ent_fault fault = sample_row(call, memory, row, action, before);
        if (fault.reason != ENTROL_REASON_NONE) {
            ent_blame(found, row, fault);
            for (size_t i = 0; i < shape->n_actions; i++)
                action[i] = before[i] = (double)NAN;
        }
        if (call->actions)
            ent_write_row(call->actions, row, action, shape->n_actions);
        if (call->before)
            ent_write_row(call->before, row, before, shape->n_actions);
    }
}

/* A number below a size that the dtype rounds would be another action, or none. */
static int holds_choices(const ent_shape *shape, entrol_dtype dtype) {
    static const double greatest[] = {
        [ENTROL_F64] = 0x1p53, [ENTROL_F32] = 0x1p24, [ENTROL_F16] = 2048, [ENTROL_BF16] = 256};
    for (size_t i = 0; i < shape->n_sizes; i++)
        if ((double)shape->sizes[i] > greatest[dtype] + 1)
            return 0;
    return 1;
}

static const char *check_arguments(call *call, const entrol_policy_sample_options *options) {
    const ent_batch *batch = &call->batch;
    call->options = (entrol_policy_sample_options)ENTROL_POLICY_SAMPLE_OPTIONS_INIT;
    if (options && !ent_take(&call->options, options, sizeof *options))
        return "options";
    if (call->actions && call->actions->add)
        return "actions.add";
    if (call->before && (call->before->add || batch->p.kind != ENTROL_POLICY_SQUASHED_GAUSSIAN))
        return "before";
    const size_t n_rows = batch->p.first.n_rows;
    const char *bad = ent_check_destination(call->actions, n_rows, batch->shape.n_actions, "actions");
    if (!bad && call->actions && !holds_choices(&batch->shape, call->actions->dtype))
        return "actions.dtype";
    return bad ? bad : ent_check_destination(call->before, n_rows, batch->shape.n_actions, "before");
}

entrol_status entrol_policy_sample(entrol_context *context, const entrol_destination *actions,
                                   const entrol_destination *before, entrol_diagnosis *diagnosis,
                                   const entrol_policy *policy, const entrol_policy_sample_options *options) {
    call call = {.actions = actions, .before = before};
    const entrol_status status = ent_batch_prepare(&call.batch, context, diagnosis, policy, NULL, NULL, NULL);
    if (status != ENTROL_OK)
        return status;
    const char *bad = check_arguments(&call, options);
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    return ent_batch_run(&call.batch, context, diagnosis, sample_rows, NULL, &call);
}
