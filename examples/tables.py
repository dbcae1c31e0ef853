"""Tables that programs write into pages. One stands between <!-- table NAME --> and <!-- end -->; all else stays as it is."""
import re


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def filled(page, tables, results):
    """The page with these tables written anew: that called NAME is what the function of this name makes of the results."""
    written = {function.__name__: function(results) for function in tables}
    return re.sub(r"(?<=<!-- table )(\w+)( -->\n)(.*?)(?=<!-- end -->)", lambda m: m[1] + m[2] + written.get(m[1], m[3]), page,
                  flags=re.DOTALL)


def fill(path, tables, results):
    with open(path, encoding="utf-8") as file:
        page = filled(file.read(), tables, results)
    with open(path, "w", encoding="utf-8") as file:
        file.write(page)
