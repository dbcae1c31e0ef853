/* Lines of token records: what the scanner is sure of, the parser reads the same. The first byte says what is wanted.
 */
#include "fuzz.h"
#include "scan_agrees.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const record_wanted some[] = {
        {.columns = 0},
        {.columns = COLUMN_BIT(COLUMN_ENTROPY), .least = {COLUMN_BIT(COLUMN_ENTROPY), COLUMN_BIT(COLUMN_RANK)}},
        {.columns = COLUMN_BIT(COLUMN_LOGPROB) | COLUMN_BIT(COLUMN_TOP_LOGPROB), .fields = true},
        record_everything,
    };
    const char *wrong;
    if (size == 0)
        return 0;
    scan_agrees(&wrong, (const char *)data + 1, size - 1, &some[data[0] % (sizeof some / sizeof some[0])]);
    fuzz_require(wrong == NULL);
    return 0;
}
