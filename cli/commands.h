/* The commands: one cmd_NAME.c each, one row each in the table of main.c. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "options.h"

extern const command command_compare;
extern const command command_control;
extern const command command_diagnose;
extern const command command_entropy;
extern const command command_filter;
extern const command command_generate;
extern const command command_inspect;
extern const command command_report;
extern const command command_score;
extern const command command_select;
extern const command command_show;
extern const command command_version;

#endif
