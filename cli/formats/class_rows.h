/* Class probabilities in an .npy file as documents: a row each, or a matrix of one row a model. */
#ifndef CLI_FORMATS_CLASS_ROWS_H
#define CLI_FORMATS_CLASS_ROWS_H

#include "record.h"
#include "tensor.h"

typedef struct class_rows class_rows;

/* Takes the file, also on failure: an array of shape (samples, classes) or (samples, models, classes). */
class_rows *class_rows_open(tensor_file *file, trouble *trouble);
/* The next sample: a document without columns, whose fields are id ("FILE:ROW"), row (from 0) and class (the first of
 * the greatest, of the models' mean), with its probs beside them until the next call. 1, 0 at the end, -1 for trouble.
 */
int class_rows_next(class_rows *rows, document *document, trouble *trouble);
void class_rows_rewind(class_rows *rows);
void class_rows_close(class_rows *rows);

#endif
