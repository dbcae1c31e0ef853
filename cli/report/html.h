/* The report: one HTML file with its data, style and script inside, which loads nothing.
 *
 * The page is report.html with the rest put in its places. Only the script and the style whose hashes stand in the
 * Content-Security-Policy run; the data is inert JSON, and the script makes no markup out of it. */
#ifndef CLI_REPORT_HTML_H
#define CLI_REPORT_HTML_H

#include "../formats/record.h"
#include "../output.h"

typedef struct html_report html_report;

/* Writes the page up to the first document. `in_bits`: the unit of what is shown. NULL with trouble. */
html_report *html_begin(output *output, const char *title, bool in_bits, trouble *trouble);
bool html_document(html_report *report, const document *document, trouble *trouble);
/* Totals, the names of the inputs with their manifests (NULL: none), and the rest of the page. */
bool html_end(html_report *report, const char *const *names, json_t *const *manifests, size_t n_inputs,
              trouble *trouble);
void html_free(html_report *report);

#endif
