# SPDX-License-Identifier: MIT
"""report.html, one self-contained page, and build/versions.txt."""

import json
import platform
import subprocess
from dataclasses import asdict

from . import machine, run, sysroot
from .paths import BUILD, PROJECT
from .results import FAIL

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>drm_userptr: @TITLE@</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; --pass: #2a8c4a; --fail: #c62f2f; --skip: #8a7a20; --line: #8884; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h1 b.pass { color: var(--pass); } h1 b.fail { color: var(--fail); }
table { border-collapse: collapse; width: 100%; } td, th { padding: .25rem .6rem; text-align: left; vertical-align: top;
border-bottom: 1px solid var(--line); } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.pass { color: var(--pass); } .fail { color: var(--fail); font-weight: 600; } .skip { color: var(--skip); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #8881; padding: .6rem; margin: .3rem 0; font-size: 12.5px; }
form { display: flex; gap: .8rem; flex-wrap: wrap; margin: 1rem 0; } input, select { font: inherit; padding: .2rem .4rem; }
td.name { font-family: ui-monospace, monospace; font-size: 13px; overflow-wrap: anywhere; }
details pre { max-height: 30rem; overflow: auto; } #count { align-self: center; opacity: .7; }
</style></head><body>
<h1>drm_userptr: <b class="@CLASS@">@TITLE@</b></h1>
<table id="lanes"><tr><th>lane<th class="n">passed<th class="n">failed<th class="n">skipped<th class="n">seconds</tr></table>
<details><summary>by subject and lane</summary><table id="subjects"></table></details>
<form><select id="lane"><option value="">every lane</select>
<select id="status"><option value="">every outcome<option>fail<option>skip<option>pass</select>
<input id="text" type="search" placeholder="name contains" size="30"><span id="count"></span></form>
<table><thead><tr><th>lane<th>test<th>outcome<th class="n">s</tr></thead><tbody id="tests"></tbody></table>
<details><summary>versions</summary><pre id="versions"></pre></details>
<script id="data" type="application/json">@DATA@</script>
<script>
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const make = (tag, text, cls) => { const e = document.createElement(tag); e.textContent = text ?? "";
  if (cls) e.className = cls; return e; };
const rank = {fail: 0, skip: 1, pass: 2};
data.tests.sort((a, b) => rank[a.status] - rank[b.status]);
$("versions").textContent = data.versions;
for (const lane of new Set(data.tests.map(t => t.lane).sort())) {
  const of = data.tests.filter(t => t.lane === lane), row = $("lanes").insertRow();
  row.append(make("td", lane), ...["pass", "fail", "skip"].map(s => {
    const n = of.filter(t => t.status === s).length; return make("td", n, "n " + (n ? s : "")); }),
    make("td", of.reduce((sum, t) => sum + t.seconds, 0).toFixed(1), "n"));
  $("lane").append(make("option", lane));
}
// A subject is a KUnit suite or an IGT test program; a cell filters for it.
const subject = t => t.name.split(/[@.]/)[0], lanes = [...new Set(data.tests.map(t => t.lane))].sort();
const head = $("subjects").insertRow();
head.append(make("th", "subject"), ...lanes.map(lane => make("th", lane, "n")));
for (const name of [...new Set(data.tests.map(subject))].sort()) {
  const row = $("subjects").insertRow();
  row.append(make("td", name, "name"), ...lanes.map(lane => {
    const of = data.tests.filter(t => t.lane === lane && subject(t) === name), cell = make("td", "", "n");
    for (const status of ["pass", "fail", "skip"]) {
      const n = of.filter(t => t.status === status).length;
      if (n) cell.append(make("span", n, status), " ");
    }
    if (of.length) cell.onclick = () => { $("lane").value = lane; $("text").value = name; show(); };
    return cell;
  }));
}
function show() {
  const text = $("text").value.toLowerCase();
  const chosen = data.tests.filter(t => (!$("lane").value || t.lane === $("lane").value)
    && (!$("status").value || t.status === $("status").value) && t.name.toLowerCase().includes(text));
  $("count").textContent = chosen.length + " of " + data.tests.length;
  $("tests").replaceChildren(...chosen.map(t => {
    const row = document.createElement("tr"), name = make("td", t.name, "name");
    if (t.why) {
      if (t.status === "fail") name.append(make("pre", t.why));
      else name.append(make("div", t.why.split("\\n")[0], t.status));
    }
    row.append(make("td", t.lane), name, make("td", t.status, t.status), make("td", t.seconds.toFixed(2), "n"));
    return row;
  }));
}
for (const id of ["lane", "status", "text"]) $(id).addEventListener("input", show);
show();
</script></body></html>
"""


def write(results, path):
    data = {"tests": [asdict(t) for t in results.tests], "versions": versions()}
    page = PAGE.replace("@TITLE@", results.verdict()).replace("@CLASS@", "pass" if results.ok() else FAIL)
    path.write_text(page.replace("@DATA@", json.dumps(data).replace("<", "\\u003c")))


def versions():
    """What the results were made with; also written to build/versions.txt."""
    lines = [f"guest kernel accelerator (QEMU): {machine.accelerator_name()}",
             f"host kernel: {platform.release()} {platform.machine()}"]
    for command in (["gcc", "--version"], ["qemu-system-x86_64", "--version"]):
        try:
            lines.append("host " + run.output(command).splitlines()[0])
        except (OSError, subprocess.CalledProcessError):
            continue
    try:
        commit = run.output(["git", "-C", PROJECT, "describe", "--always", "--dirty"], stderr=subprocess.DEVNULL)
        lines.append(f"checkout: {commit}")
    except (OSError, subprocess.CalledProcessError):
        pass
    root = sysroot.ready()
    if root:
        lines += ["", f"Debian {sysroot.SUITE} root file system {root.name}, packages:",
                  (root / "versions.txt").read_text()]
    text = "\n".join(lines)
    BUILD.mkdir(exist_ok=True)
    (BUILD / "versions.txt").write_text(text)
    return text
