"""Makes the pictures of the README: pictures.py RECORDS FOLDER writes FOLDER/report.png and FOLDER/terminal.png from what
`entrol report` and `entrol show` make of the records. ENTROL names the command."""
import html
import os
import re
import subprocess
import sys
import tempfile

import chromium

ENTROL = os.environ.get("ENTROL", "build/entrol")
CUBE = (0, 95, 135, 175, 215, 255)


def style(codes, current):
    """The CSS of a sequence of SGR codes, of those that `entrol show` writes."""
    if codes in ("", "0"):
        return {}
    current, codes = dict(current), codes.split(";")
    while codes:
        code = codes.pop(0)
        if code in ("38", "48"):
            name = "color" if code == "38" else "background"
            if codes.pop(0) == "2":
                rgb, codes = codes[:3], codes[3:]
            else:
                index = int(codes.pop(0)) - 16
                rgb = [str(CUBE[index // 36]), str(CUBE[index // 6 % 6]), str(CUBE[index % 6])]
            current[name] = f"rgb({','.join(rgb)})"
        elif code == "1":
            current["font-weight"] = "bold"
        elif code == "2":
            current["opacity"] = ".6"
        elif code == "7":
            current.update(background="#d8dce2", color="#14171c")
    return current


def terminal_page(text):
    parts, current = [], {}
    for piece in re.split(r"(\x1b\[[0-9;]*m)", text):
        if piece.startswith("\x1b"):
            current = style(piece[2:-1], current)
        elif piece:
            css = ";".join(f"{k}:{v}" for k, v in current.items())
            parts.append(f'<span style="{css}">{html.escape(piece)}</span>')
    return ("<!doctype html><meta charset=utf-8><style>body{margin:0;background:#14171c;color:#d8dce2}"
            "pre{margin:0;padding:22px 26px;font:15px/1.5 'JetBrains Mono','DejaVu Sans Mono','Noto Sans Mono CJK SC',"
            "monospace;font-variant-ligatures:none}pre span{padding:2px 0}</style><pre>" + "".join(parts) + "</pre>")


def main(records, folder):
    os.makedirs(folder, exist_ok=True)
    browser = chromium.Browser(chromium.find())
    with tempfile.TemporaryDirectory() as work:
        try:
            shown = subprocess.run([ENTROL, "show", records, "--color", "truecolor", "--width", "96", "--limit", "2"],
                                   capture_output=True, check=True).stdout.decode()
            lines = shown.split("\n")[:34]
            page = os.path.join(work, "terminal.html")
            with open(page, "w") as file:
                file.write(terminal_page("\n".join(lines).rstrip("\n")))
            browser.open(page, 940, 100)
            height = browser.run("document.querySelector('pre').offsetHeight")
            browser.view(940, height)
            browser.screenshot(os.path.join(folder, "terminal.png"))

            page = os.path.join(work, "report.html")
            subprocess.run([ENTROL, "report", records, "-o", page, *sys.argv[3:]], check=True)
            browser.open(page, 1280, 900)
            place = browser.run("(() => { const high = [...document.querySelectorAll('.pane span.v9, .pane span.v10, "
                                ".pane span.v11, .pane span.v12')].filter(s => s.textContent.length > 4)[2]; "
                                "if (!high) return null; const r = high.getClientRects()[0]; "
                                "return [r.x + r.width / 2, r.y + r.height / 2]; })()")
            if place:
                browser.mouse(*place)
            browser.screenshot(os.path.join(folder, "report.png"))
        finally:
            browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
