"""Compares the result of the Autobahn test suite with what is expected of it. For Python 2.7, which runs the suite."""

from __future__ import print_function

import fnmatch
import json
import sys


def expectations(path):
    """The lines of the file, as (pattern, verdict, close code); a later line counts more."""
    with open(path) as lines:
        words = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return [tuple(word[:3]) for word in words]


def main(expected_path, result_path):
    expected = expectations(expected_path)
    with open(result_path) as result:
        cases = json.load(result)["relay"]
    matched, unexpected, differences = set(), set(), []
    for case, result in sorted(cases.items()):
        line = [line for line in expected if fnmatch.fnmatchcase(case, line[0])][-1]
        matched.add(line)
        _, verdict, code = line
        got = (result["behavior"], result["remoteCloseCode"])
        if got[0] not in verdict.split("|") or (code != "any" and str(got[1]) not in code.split("|")):
            unexpected.add(case)
            differences.append("%s: %s, closed with %s; expected: %s, %s" % (case, got[0], got[1], verdict, code))
    differences += ["%s: there is no such case" % line[0] for line in expected if line not in matched]
    for difference in differences:
        print(difference)
    passed = sum(result["behavior"] == "OK" for result in cases.values())
    explained = len(cases) - passed - sum(cases[case]["behavior"] != "OK" for case in unexpected)
    print("%d cases: %d passed, %d are not meant to, for the reasons in %s, %d are not as expected"
          % (len(cases), passed, explained, expected_path, len(differences)))
    return 1 if differences or len(cases) != 301 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
