#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright © 2026 The drm_userptr authors
"""doc_check.py SRC OUT TEST...

Hold the subtests that each built TEST lists against its documentation: a
SUBTEST comment in the source (with %s expanded by argN.values) for each, a
description from igt_describe(), and no SUBTEST comment without a subtest.
"""
import itertools
import re
import subprocess
import sys


def documented(path):
    """Names in SUBTEST comments; wildcards expanded."""
    names = set()
    for comment in re.findall(r'/\*\*(.*?)\*/', open(path).read(), re.S):
        text = re.sub(r'^[ \t]*\*[ \t]?', '', comment, flags=re.M)
        for block in re.split(r'^SUBTEST:', text, flags=re.M)[1:]:
            name = block.split('\n', 1)[0].strip()
            values = re.findall(r'^arg\[\d+\]\.values:(.*)$', block, re.M)
            if not re.search(r'^Description:\s*\S', block, re.M):
                print(f'{path}: SUBTEST {name} has no description')
            choices = [[v.strip() for v in line.split(',')] for line in values]
            for pick in itertools.product(*choices):
                filled = iter(pick)
                names.add(re.sub(r'%(s|d|ld|u)', lambda _: next(filled), name))
    return names


def run(binary, *options):
    return subprocess.run([binary, *options], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def main():
    src, out, *tests = sys.argv[1:]
    bad = 0
    total = 0
    for test in tests:
        listed = run(f'{out}/{test}', '--list-subtests').split()
        names = documented(f'{src}/{test}.c')
        problems = [f'{n}: no SUBTEST comment' for n in listed if n not in names]
        problems += [f'{n}: documented but not there' for n in names - set(listed)]
        problems += [f'{n}: listed twice' for n in set(listed) if listed.count(n) > 1]
        for name in listed:
            if 'NO DOCUMENTATION' in run(f'{out}/{test}', f'--describe={name}').upper():
                problems.append(f'{name}: no igt_describe()')
        for problem in problems:
            print(f'{test}: {problem}')
        bad += len(problems)
        total += len(listed)
    print(f'{total} subtests in {len(tests)} tests, {bad} problems')
    return bad != 0


sys.exit(main())
