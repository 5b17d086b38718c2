"""Matches a user's regular expression against names, as a program of its own.

Python's matcher can take exponential time and holds the interpreter's lock meanwhile; in a program of its own it can be
ended. Reads {"pattern", "names"} as JSON from standard input and answers a list: the first group, or null, of each name.
It imports nothing of this project.
"""

import json
import re
import resource
import sys

#: What backtracking may use.
_MEMORY_BYTES = 1 << 30


def main() -> None:
    """Answer one question."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    question = json.load(sys.stdin)
    matches = map(re.compile(question["pattern"]).search, question["names"])
    json.dump([match and match.group(1) for match in matches], sys.stdout)


if __name__ == "__main__":
    main()
