/* entrol_policy_measure: every row's results. */
#include "batch.h"

#include "base/context.h"

typedef struct call {
    ent_batch batch;
    entrol_policy_record record;
    ent_needs needs;
} call;

static void write_one(double *array, size_t row, double value) {
    if (array)
        array[row] = value;
}

/* The divergences, of a row that is not in trouble but for what `of_reference` says. */
static void measure_divergences(const call *call, const ent_loaded *loaded, size_t index) {
    const ent_distribution *distribution = call->batch.distribution;
    const int is_bad = loaded->of_reference.reason != ENTROL_REASON_NONE;
    ent_policy_row swapped = loaded->row;
    swapped.p = loaded->row.q;
    swapped.q = loaded->row.p;
    if (call->record.kl_pq)
        call->record.kl_pq[index] = is_bad ? (double)NAN : distribution->kl(&loaded->row);
    if (call->record.kl_qp)
        call->record.kl_qp[index] = is_bad ? (double)NAN : distribution->kl(&swapped);
}

static ent_fault measure_row(const call *call, const ent_row_memory *memory, size_t index) {
    const ent_distribution *distribution = call->batch.distribution;
    const entrol_policy_record *record = &call->record;
    ent_loaded loaded;
    ent_batch_load(&loaded, &call->batch, memory, index, call->needs);
    if (loaded.of_policy.reason != ENTROL_REASON_NONE) {
        double *const arrays[] = {record->entropy, record->logprob, record->kl_pq, record->kl_qp};
        for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
            write_one(arrays[i], index, (double)NAN);
        return loaded.of_policy;
    }
    const int is_action = loaded.of_action.reason == ENTROL_REASON_NONE;
    if (record->entropy)
        record->entropy[index] = distribution->entropy(&loaded.row);
    if (record->logprob)
        record->logprob[index] = is_action ? distribution->logprob(&loaded.row) : (double)NAN;
    measure_divergences(call, &loaded, index);
    return is_action ? loaded.of_reference : loaded.of_action;
}

static void measure_rows(void *argument, const ent_row_memory *memory, size_t begin, size_t end,
                         entrol_diagnosis *found) {
    for (size_t row = begin; row < end; row++) {
        const ent_fault fault = measure_row(argument, memory, row);
        if (fault.reason != ENTROL_REASON_NONE)
            ent_blame(found, row, fault);
    }
}

entrol_status entrol_policy_measure(entrol_context *context, const entrol_policy_record *record,
                                    entrol_diagnosis *diagnosis, const entrol_policy *policy,
                                    const entrol_matrix *actions, const entrol_policy *reference,
                                    const entrol_policy_options *options) {
    call call = {.record = ENTROL_POLICY_RECORD_INIT};
    const entrol_status status =
        ent_batch_prepare(&call.batch, context, diagnosis, policy, actions, reference, options);
    if (status != ENTROL_OK)
        return status;
    if (!record || !ent_take(&call.record, record, sizeof *record))
        return ent_bad_argument(diagnosis, "record");
    call.needs.action = call.record.logprob != NULL;
    call.needs.reference = call.record.kl_pq || call.record.kl_qp;
    call.needs.density = call.needs.action || call.needs.reference;
    if (call.needs.action && !actions)
        return ent_bad_argument(diagnosis, "actions");
    if (call.needs.reference && !reference)
        return ent_bad_argument(diagnosis, "reference");
    if (call.record.entropy && policy->kind == ENTROL_POLICY_SQUASHED_GAUSSIAN) {
        ent_squash_prepare(&call.batch.squash);
        call.batch.shape.squash = &call.batch.squash;
    }
    return ent_batch_run(&call.batch, context, diagnosis, measure_rows, NULL, &call);
}
