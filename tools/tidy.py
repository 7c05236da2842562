#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""House rules as a test (`ctest -L style`): arrows between rooms, file heads, unlisted sources, size ratchet,
dead links and stale quotations in docs. Prints each finding as path:line: what, and exits 1 when there is one.

The ratchet: files over the limit are listed in tools/tidy_ratchet.txt with their length and may only shrink
(`tools/tidy.py --ratchet` rewrites the list; the diff is reviewed).

Quotations: `<!-- quote: examples/plugins/x.cpp [part] -->` in a page is followed by a code block with exactly what stands
between `// [part]` and `// [/part]` in that compiled file (`tools/tidy.py --quote` writes it).
"""
import os
import re
import subprocess
import sys
import textwrap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LINES_MAX = 500
SOURCE = (".h", ".cpp", ".c")
# Banned in rooms that must be pure: no clock, thread, randomness, environment or file of their own.
PURE = ("server-lite/raft/", "server-lite/fsm/", "server-lite/state/", "server-lite/scheduler/", "lib/hcl/",
        "agent/task/task_machine", "agent/alloc/diff", "agent/task/restart_policy")
IMPURE = re.compile(r"\b(unix_now|mono_now|new_uuid|getenv|std::thread|random_device|system_clock::now|"
                    r"steady_clock::now|::open\(|std::ifstream)\b")


def files():
    out = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [p for p in out.decode().split("\0") if p and os.path.isfile(os.path.join(ROOT, p))]


def allowed_arrows():
    table = {}
    with open(os.path.join(ROOT, "cmake/DroverRooms.cmake")) as f:
        for line in f:
            m = re.match(r'set\(DROVER_ALLOWED_(\S+) (.*)\)', line)
            if m:
                table[m.group(1)] = set(m.group(2).replace('"', "").split())
    return table


def room_of(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "lib" else parts[0]


def room_of_include(include, known):
    first = include.split("/")[0]
    if first == "drover":
        return "plugin-sdk"
    if include.startswith("base/sys/"):
        return None  # header-only and free for all: the shim is built from it alone
    return first if first in known else None


def check_source(path, text, arrows, findings):
    lines = text.split("\n")
    head = "\n".join(lines[:3])
    if "SPDX-License-Identifier: Apache-2.0" not in head:
        findings.append(f"{path}:1: no SPDX line")
    if path.endswith(".h") and "#pragma once" not in text:
        findings.append(f"{path}:1: no #pragma once")
    room = room_of(path)
    pure = any(path.startswith(p) for p in PURE) and not path.endswith("_test.cpp")
    for number, line in enumerate(lines, 1):
        if len(line) > 120:
            findings.append(f"{path}:{number}: line of {len(line)} characters (at most 120)")
        m = re.match(r'\s*#include "([^"]+)"', line)
        if m and room in arrows and not path.endswith(("_test.cpp", "_fuzz.cpp")):
            target = room_of_include(m.group(1), set(arrows) | {"proto"})
            if target and target != room and target not in arrows[room]:
                findings.append(f"{path}:{number}: room {room} may not include {m.group(1)}")
        if pure and IMPURE.search(re.sub(r"//.*", "", line)):
            findings.append(f"{path}:{number}: not allowed in a pure core: {line.strip()}")


def check_listed(all_files, findings):
    """Every .cpp and .c is named in some CMakeLists.txt (or cmake file) above it."""
    lists = {p: open(os.path.join(ROOT, p)).read() for p in all_files
             if p.endswith("CMakeLists.txt") or p.endswith(".cmake")}
    for path in all_files:
        if not path.endswith((".cpp", ".c")):
            continue
        name = os.path.basename(path)
        stem = re.sub(r"(_test|_fuzz)?\.(cpp|c)$", "", name)
        if not any(name in text or re.search(rf"\b{re.escape(stem)}\b", text) for where, text in lists.items()
                   if path.startswith(os.path.dirname(where)) or where.endswith(".cmake")):
            findings.append(f"{path}:1: in no CMakeLists.txt")


def check_ratchet(lengths, findings, rewrite):
    where = os.path.join(ROOT, "tools/tidy_ratchet.txt")
    over = {p: n for p, n in lengths.items() if n > LINES_MAX}
    if rewrite:
        with open(where, "w") as f:
            f.write("# SPDX-License-Identifier: Apache-2.0\n# Files over the limit, which may only shrink.\n")
            for path, n in sorted(over.items()):
                f.write(f"{path} {n}\n")
        return
    known = {}
    if os.path.exists(where):
        with open(where) as f:
            known = {line.split()[0]: int(line.split()[1]) for line in f if line.strip() and not line.startswith("#")}
    for path, n in sorted(over.items()):
        if n > known.get(path, LINES_MAX):
            findings.append(f"{path}:1: {n} lines (at most {known.get(path, LINES_MAX)}); split it by meaning")


def check_links(path, text, findings):
    for number, line in enumerate(text.split("\n"), 1):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", line):
            if "://" in target or target.startswith("mailto:"):
                continue
            full = os.path.normpath(os.path.join(ROOT, os.path.dirname(path), target))
            if not os.path.exists(full):
                findings.append(f"{path}:{number}: dead link {target}")


def quoted(source, part):
    """The lines between the two markers without their common indent and without markers of other parts; None: absent."""
    full = os.path.join(ROOT, source)
    if not os.path.exists(full):
        return None
    with open(full) as f:
        lines = f.read().split("\n")
    begin = [i for i, line in enumerate(lines) if line.strip() == f"// [{part}]"]
    end = [i for i, line in enumerate(lines) if line.strip() == f"// [/{part}]"]
    if len(begin) != 1 or len(end) != 1 or end[0] < begin[0]:
        return None
    body = [line for line in lines[begin[0] + 1:end[0]] if not re.fullmatch(r"\s*// \[/?\w+\]", line)]
    return textwrap.dedent("\n".join(body)) + "\n"


def check_quotes(path, text, findings, rewrite):
    def block(match):
        wanted = quoted(match.group(2), match.group(3))
        number = text.count("\n", 0, match.start()) + 1
        if wanted is None:
            findings.append(f"{path}:{number}: {match.group(2)} has no part [{match.group(3)}]")
        elif match.group(4) != wanted:
            if rewrite:
                return f"{match.group(1)}```cpp\n{wanted}```"
            findings.append(f"{path}:{number}: differs from {match.group(2)} [{match.group(3)}] (tools/tidy.py --quote)")
        return match.group(0)
    marker = r"(<!-- quote: (\S+) \[(\w+)\] -->\n)"
    new = re.sub(marker + r"```cpp\n(.*?)```", block, text, flags=re.S)
    if len(re.findall(marker, text)) != len(re.findall(marker + r"```cpp\n", text)):
        findings.append(f"{path}:1: a quotation without a code block after it")
    if new != text:
        with open(os.path.join(ROOT, path), "w") as f:
            f.write(new)


def main():
    arrows = allowed_arrows()
    all_files = files()
    findings, lengths = [], {}
    for path in all_files:
        if path.endswith((".png", ".bin")) or "/seeds/" in path:
            continue
        with open(os.path.join(ROOT, path), errors="replace") as f:
            text = f.read()
        if path.endswith(SOURCE):
            lengths[path] = text.count("\n")
            check_source(path, text, arrows, findings)
        elif path.endswith(".md"):
            check_links(path, text, findings)
            check_quotes(path, text, findings, "--quote" in sys.argv)
    check_listed(all_files, findings)
    check_ratchet(lengths, findings, "--ratchet" in sys.argv)
    for finding in findings:
        print(finding)
    print(f"tidy: {len(lengths)} sources, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
