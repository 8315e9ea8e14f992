"""Write `js/src/core/protocol.ts` from `interp_widgets/views/protocol.py`: the wire format, described once.

python tools/protocol.py           write the file
python tools/protocol.py --check   fail if it is not current
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "interp_widgets" / "views" / "protocol.py"
TARGET = ROOT / "js" / "src" / "core" / "protocol.ts"
PLAIN = {"str": "string", "int": "number", "float": "number", "bool": "boolean", "None": "null", "Any": "DataView"}


def ts_type(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return PLAIN.get(name, name)
        case ast.Constant(value=None):
            return "null"
        case ast.Constant(value=str(text)):
            return f'"{text}"'
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return f"{ts_type(left)} | {ts_type(right)}"
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=options)):
            return " | ".join(ts_type(option) for option in options)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=option):
            return ts_type(option)
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            inner = ts_type(item)
            return f"({inner})[]" if "|" in inner else f"{inner}[]"
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[key, value])):
            return f"Record<{ts_type(key)}, {ts_type(value)}>"
    raise SystemExit(f"protocol.py line {node.lineno}: no TypeScript for {ast.unparse(node)}")


def comment(text: str, indent: str = "") -> list[str]:
    lines = text.strip().splitlines()
    if len(lines) == 1:
        return [f"{indent}/** {lines[0]} */"]
    return [f"{indent}/**", *[f"{indent} * {line.strip()}".rstrip() for line in lines], f"{indent} */"]


def docstring(node: ast.stmt | None) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return None


def interface(node: ast.ClassDef) -> list[str]:
    bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id != "TypedDict"]
    extends = f" extends {', '.join(bases)}" if bases else ""
    optional = "?" if any(keyword.arg == "total" for keyword in node.keywords) else ""
    out = [*comment(ast.get_docstring(node) or ""), f"export interface {node.name}{extends} {{"]
    for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if text := docstring(following):
                out += comment(text, "  ")
            out.append(f"  {statement.target.id}{optional}: {ts_type(statement.annotation)};")
    return [*out, "}", ""]


def generate() -> str:
    out = ["// Written by tools/protocol.py from interp_widgets/views/protocol.py; edit that file instead.", ""]
    for node in ast.parse(SOURCE.read_text()).body:
        if isinstance(node, ast.ClassDef):
            out += interface(node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            out += [f"export type {node.targets[0].id} = {ts_type(node.value)};", ""]
    return "\n".join(out)


if __name__ == "__main__":
    text = generate()
    if "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text() != text:
            raise SystemExit(f"{TARGET.relative_to(ROOT)} is not current: run `python tools/protocol.py`")
    else:
        TARGET.write_text(text)
