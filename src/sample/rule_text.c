/* Rules as people write them (see rule_text.h). Nothing is looked up: names and values are whatever stands there. */
#include "rule_text.h"

static int is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Passes a name, whose hyphens become _; 0 if there is none. */
static int pass_name(char **at) {
    char *start = *at;
    for (; is_name(**at); ++*at)
        if (**at == '-')
            **at = '_';
    return *at > start;
}

/* Passes a value up to the next comma, which ends it; an empty one is of no parameter's. */
static void pass_value(char **at) {
    while (**at && **at != ',')
        ++*at;
}

static int refuse(size_t *offset, const char *copy, const char *at) {
    *offset = (size_t)(at - copy);
    return 0;
}

/* What comes behind "=". */
static void take_value(ent_rule_text *text, const char *name, size_t name_offset, const char *copy, char **at) {
    const size_t i = text->n_settings++;
    text->value_offsets[i] = (size_t)(*at - copy);
    text->offsets[i] = *name ? name_offset : text->value_offsets[i];
    text->settings[i] = (entrol_setting){name, 0, *at};
    pass_value(at);
}

int ent_rule_text_split(ent_rule_text *text, size_t *offset, char *copy) {
    char *at = copy;
    *text = (ent_rule_text){.name = copy};
    if (!pass_name(&at))
        return refuse(offset, copy, at);
    const char *name = "";
    size_t name_offset = 0;
    while (*at) {
        char *end = at;
        if (*at == ',') {
            *at++ = '\0';
            name = at;
            name_offset = (size_t)(at - copy);
            if (!pass_name(&at) || *at != '=')
                return refuse(offset, copy, at);
            end = at;
        } else if (*at != '=')
            return refuse(offset, copy, at);
        *end = '\0';
        at = end + 1;
        if (text->n_settings == ENT_MOST_SETTINGS)
            return refuse(offset, copy, at);
        take_value(text, name, name_offset, copy, &at);
    }
    return 1;
}
