/* Rules as people write them: NAME[=VALUE][,PARAMETER=VALUE]... */
#ifndef ENT_SAMPLE_RULE_TEXT_H
#define ENT_SAMPLE_RULE_TEXT_H

#include <entrol/base.h>

enum { ENT_MOST_SETTINGS = 16 };

/* A rule's text in parts, which are strings of the copy that it was split in. */
typedef struct ent_rule_text {
    const char *name;                           /* words joined by _, as the settings' */
    entrol_setting settings[ENT_MOST_SETTINGS]; /* the value behind the name has the name "" */
    size_t offsets[ENT_MOST_SETTINGS];          /* of their names in the text; of that value itself */
    size_t value_offsets[ENT_MOST_SETTINGS];
    size_t n_settings;
} ent_rule_text;

/* Splits the copy in place. 0 where it does not fit, and *offset is the first byte that does not. */
int ent_rule_text_split(ent_rule_text *text, size_t *offset, char *copy);

#endif
