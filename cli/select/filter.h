/* Texts, scored and filtered in one step. */
#ifndef CLI_SELECT_FILTER_H
#define CLI_SELECT_FILTER_H

#include "../score/score.h"
#include "select.h"

/* Scores every document of the inputs and writes those that the rule keeps: lines of JSON Lines as they stand, or the
 * paths of plain text files. Exit code of the command. argv goes into the manifest. */
int filter_texts(const select_settings *settings, score_settings *scoring, select_inputs *inputs, int argc,
                 char **argv);

#endif
