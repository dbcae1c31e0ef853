/* Rows of policies, read as doubles one at a time, and divided among threads. Small rows need no memory but the
 * thread's own; what is drawn or measured of a row depends on that row alone, and sums over rows are exact, so that no
 * division shows. */
#include "batch.h"

#include "base/context.h"
#include "base/dtype.h"
#include "base/trouble.h"

#include <string.h>

/* --- Memory --- */

/* On the thread's own stack; rows that need more get it from the context. */
enum { OWN_NUMBERS = 2048, OWN_SUMS = 64 };

typedef struct own_memory {
    double numbers[OWN_NUMBERS];
    entrol_sum sums[OWN_SUMS];
} own_memory;

/* Of one task. */
typedef struct needed {
    size_t n_numbers, n_sums, n_bytes;
} needed;

static int add_product(size_t *sum, size_t a, size_t b) {
    size_t product;
    if (!ent_multiply(&product, a, b) || product > SIZE_MAX / 64 - *sum) /* so that bytes fit, too */
        return 0;
    *sum += product;
    return 1;
}

/* Two parameters, an action, slopes and d_action of n; two and slopes of n_second; scratch. */
static int find_needed(needed *needed, const ent_batch *batch, int has_totals) {
    const ent_shape *shape = &batch->shape;
    *needed = (struct needed){0, has_totals && batch->shares_second ? shape->n_second : 0, 0};
    const size_t n = shape->n > shape->n_actions ? shape->n : shape->n_actions;
    const size_t n_scratch = batch->distribution->n_scratch ? batch->distribution->n_scratch(shape->n) : 0;
    if (!add_product(&needed->n_numbers, n, 5) || !add_product(&needed->n_numbers, shape->n_second, 3) ||
        !add_product(&needed->n_numbers, n_scratch, 1))
        return 0;
    needed->n_bytes = needed->n_numbers * sizeof(double) + needed->n_sums * sizeof(entrol_sum);
    return 1;
}

static ent_row_memory divide(double *numbers, entrol_sum *sums, size_t n_sums, const ent_batch *batch) {
    const size_t n_second = batch->shape.n_second;
    const size_t n = batch->shape.n > batch->shape.n_actions ? batch->shape.n : batch->shape.n_actions;
    ent_row_memory memory = {.p_first = numbers, .sums = sums};
    memory.q_first = memory.p_first + n;
    memory.action = memory.q_first + n;
    memory.slopes_first = memory.action + n;
    memory.d_action = memory.slopes_first + n;
    memory.p_second = memory.d_action + n;
    memory.q_second = memory.p_second + n_second;
    memory.slopes_second = memory.q_second + n_second;
    memory.scratch = memory.slopes_second + n_second;
    for (size_t i = 0; i < n_sums; i++)
        sums[i] = (entrol_sum){0};
    return memory;
}

/* --- Rows --- */

void ent_read_row(double *out, const entrol_matrix *matrix, size_t index, size_t n) {
    const char *row = ent_matrix_row(matrix, index);
    if (matrix->dtype == ENTROL_F64 && n)
        memcpy(out, row, n * sizeof *out);
    else
        for (size_t i = 0; i < n; i++)
            out[i] = ent_element(row, matrix->dtype, i);
}

void ent_write_row(const entrol_destination *to, size_t index, const double *values, size_t n) {
    const ptrdiff_t n_elements = (ptrdiff_t)index * to->row_stride;
    char *row = (char *)to->data + n_elements * (ptrdiff_t)entrol_dtype_size(to->dtype);
    for (size_t i = 0; i < n; i++)
        ent_put_element(row, to->dtype, i, to->add ? ent_element(row, to->dtype, i) + values[i] : values[i]);
}

static void read_first(double *first, const ent_batch *batch, const entrol_policy *policy, size_t index) {
    ent_read_row(first, &policy->first, index, batch->shape.n);
    if (!batch->distribution->takes_mask || !policy->mask)
        return;
    const uint8_t *mask = policy->mask + (ptrdiff_t)index * policy->mask_row_stride;
    for (size_t i = 0; i < batch->shape.n; i++)
        if (!ent_is_allowed(mask, i))
            first[i] = -(double)INFINITY;
}

static void read_second(double *second, const ent_batch *batch, const entrol_policy *policy, size_t index) {
    const size_t n = batch->shape.n_second;
    if (!n)
        return;
    ent_read_row(second, &policy->second, policy->second.n_rows == 1 ? 0 : index, n);
    for (size_t i = 0; batch->distribution->has_log_sigma && i < n; i++)
        if (second[i] < policy->log_sigma_low)
            second[i] = policy->log_sigma_low;
        else if (second[i] > policy->log_sigma_high)
            second[i] = policy->log_sigma_high;
}

void ent_batch_load(ent_loaded *loaded, const ent_batch *batch, const ent_row_memory *memory, size_t index,
                    ent_needs needs) {
    const ent_distribution *distribution = batch->distribution;
    const ent_shape *shape = &batch->shape;
    *loaded = (ent_loaded){{shape, {memory->p_first, memory->p_second}, {NULL, NULL}, memory->action, memory->scratch},
                           {ENTROL_REASON_NONE, 0},
                           {ENTROL_REASON_NONE, 0},
                           {ENTROL_REASON_NONE, 0}};
    read_first(memory->p_first, batch, &batch->p, index);
    read_second(memory->p_second, batch, &batch->p, index);
    loaded->of_policy = distribution->check(shape, &loaded->row.p, needs.density);
    if (needs.action) {
        ent_read_row(memory->action, batch->actions, index, shape->n_actions);
        loaded->of_action = distribution->take_action(shape, memory->action);
    }
    if (needs.reference) {
        loaded->row.q = (ent_parameters){memory->q_first, memory->q_second};
        read_first(memory->q_first, batch, &batch->q, index);
        read_second(memory->q_second, batch, &batch->q, index);
        loaded->of_reference = distribution->check(shape, &loaded->row.q, 1);
    }
}

void ent_blame(entrol_diagnosis *found, size_t row, ent_fault fault) {
    ent_trouble_note(found, row, fault.column, fault.reason);
}

/* --- Threads --- */

/* Fewer are not worth another thread's waking. */
enum { NUMBERS_A_TASK = 4096, TASKS_A_THREAD = 8 };

typedef struct run {
    const ent_batch *batch;
    ent_batch_work work;
    void *call;
    needed needed;
    char *memory; /* n_bytes a task; NULL: each has its own */
    size_t n_tasks;
    entrol_sum *totals;
    ent_trouble trouble; /* whose lock is the totals', too */
} run;

static size_t count_tasks(const ent_batch *batch, const entrol_context *context) {
    const size_t n_rows = batch->p.first.n_rows, n_numbers = batch->shape.n + batch->shape.n_second + 1;
    const size_t rows_a_task = n_numbers < NUMBERS_A_TASK ? NUMBERS_A_TASK / n_numbers : 1;
    const size_t n_tasks = (n_rows - 1) / rows_a_task + 1, most = TASKS_A_THREAD * entrol_context_n_threads(context);
    return n_tasks < most ? n_tasks : most;
}

static size_t first_row_of(const run *run, size_t task) {
    const size_t n_rows = run->batch->p.first.n_rows, each = n_rows / run->n_tasks, more = n_rows % run->n_tasks;
    return task * each + (task < more ? task : more);
}

static void work_on(run *run, double *numbers, entrol_sum *sums, size_t task) {
    const ent_row_memory memory = divide(numbers, sums, run->needed.n_sums, run->batch);
    entrol_diagnosis found = {0};
    run->work(run->call, &memory, first_row_of(run, task), first_row_of(run, task + 1), &found);
    ent_trouble_join(&run->trouble, &found);
    if (!run->needed.n_sums)
        return;
    pthread_mutex_lock(&run->trouble.lock);
    for (size_t i = 0; i < run->needed.n_sums; i++)
        entrol_sum_merge(&run->totals[i], &sums[i]);
    pthread_mutex_unlock(&run->trouble.lock);
}

static void run_in_own_memory(void *argument, size_t task) {
    own_memory own;
    work_on(argument, own.numbers, own.sums, task);
}

static void run_in_memory(void *argument, size_t task) {
    run *run = argument;
    char *memory = run->memory + task * run->needed.n_bytes;
    work_on(run, (double *)(void *)(memory + run->needed.n_sums * sizeof(entrol_sum)), (entrol_sum *)(void *)memory,
            task);
}

/* The tasks' memory and, after it, the totals. */
static entrol_status allocate(run *run, entrol_context *context) {
    size_t n_bytes;
    if (!ent_multiply(&n_bytes, run->needed.n_bytes, run->n_tasks + 1))
        return ENTROL_ERROR_OVERFLOW;
    run->memory = ent_allocate(context, n_bytes);
    if (!run->memory)
        return ENTROL_ERROR_MEMORY;
    run->totals = (entrol_sum *)(void *)(run->memory + run->needed.n_bytes * run->n_tasks);
    return ENTROL_OK;
}

entrol_status ent_batch_run(const ent_batch *batch, entrol_context *context, entrol_diagnosis *diagnosis,
                            ent_batch_work work, ent_batch_totals totals, void *call) {
    run run = {.batch = batch, .work = work, .call = call, .n_tasks = 1};
    entrol_sum own_totals[OWN_SUMS];
    if (!find_needed(&run.needed, batch, totals != NULL))
        return ENTROL_ERROR_OVERFLOW;
    if (batch->p.first.n_rows)
        run.n_tasks = count_tasks(batch, context);
    run.totals = own_totals;
    const int is_own = run.needed.n_numbers <= OWN_NUMBERS && run.needed.n_sums <= OWN_SUMS;
    const entrol_status status = is_own ? ENTROL_OK : allocate(&run, context);
    if (status != ENTROL_OK)
        return status;
    for (size_t i = 0; i < run.needed.n_sums; i++)
        run.totals[i] = (entrol_sum){0};
    ent_trouble_begin(&run.trouble);
    if (batch->p.first.n_rows)
        ent_parallel_for(context, run.n_tasks, is_own ? run_in_own_memory : run_in_memory, &run);
    ent_trouble_end(&run.trouble, diagnosis);
    if (totals)
        totals(call, run.totals);
    ent_release(context, run.memory);
    return ENTROL_OK;
}
