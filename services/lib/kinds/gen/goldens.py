#!/usr/bin/env python3
"""Writes goldens/*.jsonl.gz: objects, and what upstream makes of them.
Usage: goldens.py JUDGE TESTDATA_DIR   (JUDGE: `go build` of this folder; TESTDATA_DIR: k8s.io/api's testdata/HEAD)"""
import copy, gzip, json, pathlib, re, subprocess, sys
judge, data = sys.argv[1:3]
here = pathlib.Path(__file__).parent
lines = re.findall(r'line\((\w+|"[^"]*"), "(\w+)", "(\w+)", "\w+", (\w+)[^\n]*', (here / '../src/table.rs').read_text())
consts = dict(re.findall(r'const (\w+): &str = "([^"]+)"', (here / '../src/table.rs').read_text()))
kinds = [(g.strip('"') if g.startswith('"') else consts[g], v, k, n == 'true') for g, v, k, n in lines]

def run(requests):
    out = subprocess.run([judge], input='\n'.join(map(json.dumps, requests)), capture_output=True, text=True, check=True)
    return [json.loads(l) for l in out.stdout.splitlines()]

def write(name, rows):
    with open(here / f'../goldens/{name}.jsonl.gz', 'wb') as raw, gzip.GzipFile('', 'wb', 9, raw, 0) as f:
        for r in rows: f.write((json.dumps(r, separators=(',', ':')) + '\n').encode())
    print(name, len(rows))

def strip(o, keep):
    """Every leaf below spec removed but those whose path hash is in keep: many partly filled objects from one."""
    def walk(v, path):
        if isinstance(v, dict): return {k: w for k, x in v.items() if (w := walk(x, path + '.' + k)) is not None}
        if isinstance(v, list): return [w for x in v if (w := walk(x, path + '[]')) is not None]
        return v if keep(path) else None
    return {k: (v if k in ('apiVersion', 'kind') else walk(v, k)) for k, v in o.items()}

def objects():
    for g, v, k, n in kinds:
        api = f'{g}/{v}' if g else v
        least = {'apiVersion': api, 'kind': k, 'metadata': {'name': 'x', **({'namespace': 'ns'} if n else {})}}
        yield least
        f = pathlib.Path(data) / f'{g or "core"}.{v}.{k}.json'
        if not f.exists(): continue
        full = json.loads(f.read_text())
        yield full
        for step in range(4):
            names = {'name', 'key', 'path', 'type', 'kind', 'containerPort', 'port'}
            some = strip(full, lambda p: p.split('.')[-1] in names or sum(map(ord, p)) % 4 == step)
            yield some
    for f in sorted((here / 'cases').glob('*.json')):
        yield from json.loads(f.read_text())

def main():
    all_objects = list(objects())
    decoded = run([{'op': 'decode', 'object': o} for o in all_objects])
    write('default', [{'in': o, 'out': a['object']} for o, a in zip(all_objects, decoded) if 'object' in a])
    for o, a in zip(all_objects, decoded):
        if 'object' not in a: print('skipped', o['kind'], a.get('error', '')[:100], file=sys.stderr)
    good = [a['object'] for a in decoded if 'object' in a]
    rows = run([{'op': 'print', 'object': o} for o in good])
    write('rows', [{'in': o, 'columns': [c['name'] for c in a.get('columns', [])], 'cells': a.get('cells')} for o, a in zip(good, rows) if 'error' not in a])

def writes():
    requests = [r for f in sorted((here / 'bad').glob('*.json')) for r in json.loads(f.read_text())]
    answers = run(requests)
    write('writes', [{**r, 'out': a.get('object'), 'causes': a.get('causes', []), 'error': a.get('error', '')} for r, a in zip(requests, answers)])
main()
writes()
