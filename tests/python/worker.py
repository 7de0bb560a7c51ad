"""One library, asked line by line: each is evaluated with the names of behaviour.py, and answered as JSON."""

import json
import sys

import behaviour

for line in sys.stdin:
    try:
        answer = behaviour.show(eval(line, vars(behaviour)))
    except Exception as why:
        answer = {"raises": behaviour.name_of(why), "why": str(why)}
    print(json.dumps(answer), flush=True)
