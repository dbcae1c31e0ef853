/* The names of a container's tensors. */
#include "container_parts.h"

#include <string.h>

const char *const container_endings[PART_COUNT] = {"", "_offset", ".valid", ".present", ".width"};

const char *container_stored_name(int stored) {
    static const char *const others[] = {"id", "text", "fields"};
    return stored < COLUMN_COUNT ? record_columns[stored].name : others[stored - COLUMN_COUNT];
}

column_type container_stored_type(int stored) {
    return stored < COLUMN_COUNT ? record_columns[stored].type : COLUMN_STRING;
}

bool container_stored_is_list(int stored) {
    return stored < COLUMN_COUNT && record_columns[stored].is_list;
}

bool container_has_part(int stored, container_part part) {
    switch (part) {
    case PART_OFFSET:
        return container_stored_type(stored) == COLUMN_STRING;
    case PART_VALID:
        return stored != STORED_FIELDS;
    case PART_PRESENT:
        return stored < COLUMN_COUNT;
    case PART_WIDTH:
        return container_stored_is_list(stored);
    default:
        return true;
    }
}

bool container_is_path(const char *path) {
    static const char ending[] = ".safetensors";
    size_t n = path ? strlen(path) : 0;
    return n >= sizeof ending - 1 && strcmp(path + n - (sizeof ending - 1), ending) == 0;
}
