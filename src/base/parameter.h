/* What a caller set, against the table of what can be set. */
#ifndef ENT_BASE_PARAMETER_H
#define ENT_BASE_PARAMETER_H

#include <entrol/base.h>

/* values[i] of parameters[i], and texts[i] (TEXT; NULL: there is none in the table): what was set, the last one of a
 * name, else what holds where nothing is. ARGUMENT for a value out of its bounds or of the wrong kind, whose name the
 * diagnosis has, and for a name that is not in the table: "settings", with its index among the settings as first_row.
 * Texts are not copied. */
entrol_status ent_take_settings(double *values, const char **texts, entrol_diagnosis *diagnosis,
                                const entrol_parameter *parameters, size_t n_parameters, const entrol_setting *settings,
                                size_t n_settings);

/* A number that fills the whole text, "inf" and "-inf" too; 0 where there is none. */
int ent_parse_real(double *value, const char *text);

#endif
