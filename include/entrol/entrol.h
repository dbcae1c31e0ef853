/* Entrol: measure the entropy of a model's or policy's output, select by it, learn by it and control it. Includes every
 * room's header. */
#ifndef ENTROL_H
#define ENTROL_H

#include "base.h"
#include "control.h"
#include "measure.h"
#include "objective.h"
#include "policy.h"
#include "sample.h"
#include "select.h"

#endif
