/* report.html, report.css and the scripts, put into the command by embed.cmake. */
#ifndef CLI_REPORT_ASSETS_H
#define CLI_REPORT_ASSETS_H

#include <stddef.h>

extern const unsigned char report_page[], report_style[], report_script[];
extern const size_t report_page_size, report_style_size, report_script_size;

#endif
