"""Write `js/src/protocol` from `interp_widgets/views/protocol`: the wire format, described once.

python tools/protocol.py           write the files
python tools/protocol.py --check   fail if one is not current
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "interp_widgets" / "views" / "protocol"
TARGET = ROOT / "js" / "src" / "protocol"
LINE = 120
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
    raise SystemExit(f"line {node.lineno}: no TypeScript for {ast.unparse(node)}")


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


def imported(node: ast.ImportFrom) -> list[str]:
    """A module's names from another one; Python's own modules have no counterpart."""
    package, _, stem = (node.module or "").rpartition(".")
    if not package.endswith("protocol"):
        return []
    names = [alias.name for alias in node.names]
    line = f'import type {{ {", ".join(names)} }} from "./{stem}";'
    if len(line) <= LINE:
        return [line]
    return ["import type {", *[f"  {name}," for name in names], f'}} from "./{stem}";']


def generate(source: Path) -> str:
    place = source.relative_to(ROOT).as_posix()
    out = [f"// Written by tools/protocol.py from {place}; edit that file instead."]
    for node in (body := ast.parse(source.read_text()).body):
        if isinstance(node, ast.ImportFrom):
            out += imported(node)
    out.append("")
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef):
            out += interface(node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            said = comment(text) if (text := docstring(following)) else []
            out += [*said, f"export type {node.targets[0].id} = {ts_type(node.value)};", ""]
    return "\n".join(out)


def main() -> None:
    written = {
        TARGET / f"{source.stem}.ts": generate(source)
        for source in sorted(SOURCE.glob("*.py"))
        if source.stem != "__init__"
    }
    if "--check" not in sys.argv:
        TARGET.mkdir(exist_ok=True)
        for path, text in written.items():
            path.write_text(text)
        return
    for path, text in written.items():
        if not path.exists() or path.read_text() != text:
            raise SystemExit(f"{path.relative_to(ROOT)} is not current: run `python tools/protocol.py`")
    if extra := set(TARGET.glob("*.ts")) - set(written):
        raise SystemExit(f"nothing describes {', '.join(path.name for path in sorted(extra))}: remove it")


if __name__ == "__main__":
    main()
