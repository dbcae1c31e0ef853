/* What a column of a record is when it is shown: its unit, and the range that its colours span. */
#ifndef CLI_REPORT_MEASURE_H
#define CLI_REPORT_MEASURE_H

#include "../formats/record.h"

typedef struct measure {
    const char *name;
    int unit_power;                   /* entropy 1, varentropy 2 (bits squared), probabilities 0 */
    double low, high_bits, high_nats; /* of the colours, in the unit shown */
    bool has_range;                   /* false: the range is that of each document */
    bool is_logarithmic;              /* rank */
    bool is_flag;                     /* keep */
    bool is_worst_low;                /* the worst tokens are those with the lowest value */
} measure;

/* What is known of a column, "surprisal" or "position"; a column without a row of its own gets the document's range. */
measure measure_find(const char *name);

/* A measure in a unit: values in nats times `factor` are in `unit` (" bits", " nats squared", ""). */
typedef struct scale {
    measure measure;
    double factor;
    double low, high; /* of the colours; low > high: the document's own, see scale_fit */
    const char *unit;
} scale;

scale scale_make(const char *column, bool in_bits, double high); /* high NaN: the measure's own */
/* The scale for one document: where its measure has no range, the range of the values. */
scale scale_fit(const scale *scale, const float *values, size_t n_values);
/* 0 to n_levels - 1, or -1 for NaN; `value` in the unit. */
int scale_level(const scale *scale, double value, int n_levels);
/* What a piece of n tokens counts as, in the unit: the worst of their values (for keep: all of them must be kept). */
double scale_piece(const scale *scale, const float *values, size_t n_values);

/* The values of a document, malloc'd, n_tokens long, in nats; NaN where missing. */
bool measure_values(float **values, const document *document, const measure *measure, trouble *trouble);

#endif
