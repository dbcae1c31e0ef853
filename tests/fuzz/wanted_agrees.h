/* Records of which only some is wanted, against the same records as a whole: no document and no message differs. */
#ifndef WANTED_AGREES_H
#define WANTED_AGREES_H

#include "documents_agree.h"
#include "formats/records.h"

/* Reads both to their end, or 1000 documents; false where *wrong says what differs. */
static bool wanted_agrees(const char **wrong, records *some, records *whole, const record_wanted *wanted) {
    document documents[2] = {{0}, {0}};
    *wrong = NULL;
    for (int n = 0, more = 1; n < 1000 && more == 1 && !*wrong; n++) {
        trouble troubles[2] = {{""}, {""}};
        more = records_next_wanted(some, &documents[0], wanted, &troubles[0]);
        if (records_next(whole, &documents[1], &troubles[1]) != more || strcmp(troubles[0].text, troubles[1].text) != 0)
            *wrong = "another message";
        else if (more == 1)
            *wrong = compare_documents(&documents[0], &documents[1], wanted);
    }
    document_free(&documents[0]);
    document_free(&documents[1]);
    return !*wrong;
}

#endif
