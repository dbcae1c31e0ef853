/* One element of any dtype as a double, by the definition of its format. For places that are not hot. */
#ifndef ENT_BASE_DTYPE_H
#define ENT_BASE_DTYPE_H

#include <entrol/base.h>

/* Element `index` of an array of any alignment. */
double ent_element(const void *data, entrol_dtype dtype, size_t index);

#endif
