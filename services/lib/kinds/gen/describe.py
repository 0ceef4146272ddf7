#!/usr/bin/env python3
"""Says in src/rows/columns.rs what each column is, as upstream's printers do. Usage: describe.py PRINTERS_GO (after columns.py)."""
import json, pathlib, re, sys
source = pathlib.Path(sys.argv[1]).read_text()
packages = {'metav1': 'io.k8s.apimachinery.pkg.apis.meta.v1'}
for alias, path, version in re.findall(r'^\s+(\w+) "k8s\.io/api/([\w/.]+)/(v\w+)"', source, re.M):
    packages[alias] = f'io.k8s.api.{path}.{version}'

def described(text):
    """One column's description as Rust."""
    if found := re.match(r'"((?:[^"\\]|\\.)*)"', text):
        return f'Text({json.dumps(json.loads(found[0]))})'
    if text == 'swaggerMetadataDescriptions["name"]':
        return 'NAME'
    found = re.match(r'(\w+)\.(\w+)\{\}(?:\.\w+)?\.SwaggerDoc\(\)\["([\w-]+)"\]', text.replace('Event{}.InvolvedObject', 'ObjectReference{}'))
    if not found: raise SystemExit(f'not understood: {text}')
    kind = f'{packages[found[1]]}.{found[2]}'
    if kind.endswith('.ObjectMeta'):
        # upstream asks metadata for fields it has not, and gets nothing
        return {'name': 'NAME', 'creationTimestamp': 'CREATED'}.get(found[3], 'Text("")')
    return f'Field({json.dumps(kind)}, {json.dumps(found[3])})'

tables, names = {}, {}
for variable, body in re.findall(r'(\w+) :?= (?:append\(\w+, )?\[\]metav1\.TableColumnDefinition\{\n(.*?)\n\t\}', source, re.S):
    rows = re.findall(r'\{Name: "([^"]+)".*?Description: (.*?)\},?$', body, re.M)
    tables.setdefault(variable, {}).update({name: described(text) for name, text in rows})
for variable, printer in re.findall(r'h\.TableHandler\((\w+), print(\w+)\)', source):
    names[re.sub('[^A-Z]', '', printer.upper())] = tables[variable]
out, current = [], {}
target = pathlib.Path(__file__).resolve().parents[1] / 'src/rows/columns.rs'
for line in target.read_text().splitlines():
    if found := re.match(r'pub\(crate\) const (\w+): &\[Column\]', line):
        name = found[1].replace('_', '')
        current = names.get(name) or names.get(name.removesuffix('CONFIGURATION').removesuffix('RULE'), {})
        if not current:
            print('no columns', found[1], file=sys.stderr)
    def one(match):
        name = json.loads(match[1])
        if name not in current:
            print('no description', found, name, file=sys.stderr)
        return f'column({match[1]}, {match[2]}, {current.get(name, chr(84) + "ext(" + chr(34) * 2 + ")")})'
    out.append(re.sub(r'column\(("[^"]*"), ("[^"]*", "[^"]*", \d)(?:, [^\n]*?)?\)(?=[,\]])', one, line))
target.write_text('\n'.join(out) + '\n')
