/* The entropy of rows of logits: cc -Iinclude -o entropy examples/entropy.c build/libentrol.a -lm -pthread */
#include <entrol/entrol.h>

#include <stdio.h>

int main(void) {
    static const float logits[3][4] = {
        {0.0f, 0.0f, 0.0f, 0.0f},   /* no idea: 2 bits */
        {9.0f, 0.0f, 0.0f, 0.0f},   /* nearly sure of the first */
        {1.0f, 1.0f, -1e9f, -1e9f}, /* a coin: 1 bit */
    };
    float entropy[3];
    entrol_record record = ENTROL_RECORD_INIT;
    record.entropy = entropy; /* the other statistics stay NULL: not wanted, not computed */
    entrol_matrix matrix = {logits, ENTROL_F32, 3, 4, 4};

    entrol_context *context;
    entrol_status status = entrol_context_create(&context, NULL);
    if (status == ENTROL_OK) {
        status = entrol_measure_rows(context, &record, NULL, &matrix, NULL, NULL);
        entrol_context_destroy(context);
    }
    if (status != ENTROL_OK) {
        fprintf(stderr, "entropy: %s\n", entrol_status_string(status));
        return 1;
    }
    for (int i = 0; i < 3; i++)
        printf("row %d: %.4f nats, %.4f bits\n", i, entropy[i], entropy[i] / 0.69314718f);
    return 0;
}
