"""Tables that programs write into pages. One stands between <!-- table NAME --> and <!-- end -->; all else stays as it is."""
import re


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def filled(page, tables, results):
    """The page with its tables written anew: that called NAME is what the function of this name makes of the results. The page
    has each of these tables, and no other."""
    written = {function.__name__: function for function in tables}
    named = re.findall(r"<!-- table (\w+) -->", page)
    if sorted(named) != sorted(written):
        raise ValueError(f"the page has the tables {sorted(named)}, and there are {sorted(written)}")
    return re.sub(r"(<!-- table (\w+) -->\n).*?(?=<!-- end -->)", lambda m: m[1] + written[m[2]](results), page, flags=re.DOTALL)


def fill(path, tables, results):
    with open(path, encoding="utf-8") as file:
        page = filled(file.read(), tables, results)
    with open(path, "w", encoding="utf-8") as file:
        file.write(page)
