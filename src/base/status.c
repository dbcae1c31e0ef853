/* The version, and sentences for statuses and reasons. */
#include <entrol/base.h>

const char *entrol_version(void) {
    return ENTROL_VERSION;
}

const char *entrol_status_string(entrol_status status) {
    switch (status) {
    case ENTROL_OK:
        return "success";
    case ENTROL_ERROR_ARGUMENT:
        return "an argument is out of its domain";
    case ENTROL_ERROR_MEMORY:
        return "not enough memory";
    case ENTROL_ERROR_OVERFLOW:
        return "a size is too large for this machine";
    case ENTROL_ERROR_UNSUPPORTED:
        return "not supported by this build or this machine";
    case ENTROL_ERROR_ENVIRONMENT:
        return "ENTROL_CPU or ENTROL_THREADS is not understood";
    case ENTROL_ERROR_SYSTEM:
        return "the operating system refused";
    case ENTROL_ERROR_COMMUNICATION:
        return "the ranks could not be reached, or another one failed";
    case ENTROL_ERROR_READ:
        return "a stream could not be read";
    case ENTROL_ERROR_DATA:
        return "a value in the data makes the result meaningless";
    }
    return "unknown status";
}

const char *entrol_reason_string(entrol_reason reason) {
    switch (reason) {
    case ENTROL_REASON_NONE:
        return "nothing";
    case ENTROL_REASON_NAN:
        return "NaN";
    case ENTROL_REASON_INFINITE:
        return "infinite";
    case ENTROL_REASON_EMPTY_SUPPORT:
        return "no possible column";
    case ENTROL_REASON_TARGET:
        return "the target is not a column";
    case ENTROL_REASON_NEGATIVE:
        return "not a probability";
    case ENTROL_REASON_SUM:
        return "the probabilities do not sum to one";
    case ENTROL_REASON_GRADIENT:
        return "the gradient record is not finite, or asks for varentropy's of a state without it";
    case ENTROL_REASON_COLUMNS:
        return "there are too few columns for what is given and what is left over";
    case ENTROL_REASON_ACTION:
        return "the distribution cannot give this action";
    case ENTROL_REASON_PARAMETER:
        return "a parameter of the distribution is out of its domain";
    case ENTROL_REASON_RATIO:
        return "the ratio of two probabilities is too great";
    case ENTROL_REASON_GROUP:
        return "the group is too small";
    case ENTROL_REASON_DEVIATION:
        return "the standard deviation is 0";
    }
    return "unknown reason";
}
