"""Turn a notebook into one page with its live views: no kernel, no network, opens from disk.

    python -m interp_widgets.publish notebook.ipynb --execute --output page.html

The views come from the widget state that Jupyter saves with a notebook, so a notebook that was executed and saved needs
no `--execute`. Needs nbconvert, and nbclient to execute: `pip install "interp-widgets[notebook]"`.
"""

from __future__ import annotations

import argparse
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interp_widgets.views._page import Frozen, Snapshot, page
from interp_widgets.views._saved import saved_views

_VIEW = "application/vnd.jupyter.widget-view+json"

_STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#1b1c1e, #e8e8ea); --paper: light-dark(#fff, #17181c);
  --quiet: light-dark(#5f6166, #a0a2a8); --line: light-dark(#e3e3e1, #2d2f35); --code: light-dark(#f6f6f4, #1f2126); }
body { margin: 0 auto; padding: 32px 24px 80px; max-width: 1180px; background: var(--paper); color: var(--ink);
  font: 15px/1.6 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1, h2, h3 { line-height: 1.25; } h1 { font-size: 26px; } h2 { font-size: 20px; margin-top: 40px; }
a { color: light-dark(#1f5fae, #6ea8f5); } .anchor-link { display: none; }
p, li { max-width: 46em; }
pre, code { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
:not(pre) > code { background: var(--code); padding: 1px 4px; border-radius: 4px; }
.jp-InputArea-editor, .jp-InputArea pre, .highlight pre { background: var(--code); border-radius: 6px;
  padding: 12px 16px; overflow-x: auto; margin: 0; }
.jp-InputPrompt, .jp-OutputPrompt { display: none; }
.jp-Cell { margin: 16px 0; } pre { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { padding: 4px 12px 4px 0; border-bottom: 1px solid var(--line); text-align: left; }
img { max-width: 100%; background: #fff; border-radius: 6px; }
.highlight .k, .highlight .kn, .highlight .ow { color: light-dark(#9a3412, #f29b6b); }
.highlight .s1, .highlight .s2, .highlight .sa { color: light-dark(#1f5fae, #8ab8f2); }
.highlight .c1 { color: var(--quiet); } .highlight .mi, .highlight .mf { color: light-dark(#0f766e, #5cc8bc); }
"""


def execute(notebook: Any, folder: Path, timeout: int = 1800) -> None:
    """Run all cells of a notebook in a fresh kernel, in place; errors of a cell are raised with its text."""
    from nbclient import NotebookClient

    NotebookClient(notebook, timeout=timeout, resources={"metadata": {"path": str(folder)}}).execute()


def publish(notebook: Any, title: str) -> str:
    """Turn an executed notebook (an `nbformat` node) into one self-contained page.

    Views of this package answer as they do in the notebook. Other widgets fall back on their picture or HTML, and are
    left out where they have none.
    """
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    views = saved_views(notebook.metadata)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _freeze(output, views)]
    exporter = HTMLExporter(
        template_name="basic",
        config=Config({"HTMLExporter": {"exclude_input_prompt": True, "exclude_output_prompt": True}}),
    )
    body, _resources = exporter.from_notebook_node(notebook)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _freeze(output: Any, views: Mapping[str, Mapping[str, Any]]) -> bool:
    """Put a frozen page in the place of a live view of ours; False where an output has nothing to show on a page."""
    data = output.get("data", {})
    if _VIEW not in data:
        return True
    state = views.get(data.pop(_VIEW).get("model_id", ""))
    if state is not None:
        opened = {model: _frozen(views[model]) for model in _opened(state, views)}
        snapshot = Snapshot(page(_frozen(state), title="view", opened=opened))
        output["data"] = {"text/html": snapshot._repr_html_()}
    # A widget's text is as old as the widget: a finished progress bar still says 0%.
    return bool(output["data"].keys() - {"text/plain"})


def _opened(state: Mapping[str, Any], views: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Models of the views that were opened from one, or from one of them, as far as the notebook has them."""
    models = [opened["model"] for opened in state.get("opened", ()) if opened["model"] in views]
    return [*models, *(model for opened in models for model in _opened(views[opened], views))]


def _frozen(state: Mapping[str, Any]) -> Frozen:
    return Frozen({name: value for name, value in state.items() if name != "_esm"}, bundle=state["_esm"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m interp_widgets.publish", description="A notebook as one live page."
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--output", type=Path, help="by default the notebook's name with .html")
    parser.add_argument("--execute", action="store_true", help="run all cells first, in a fresh kernel")
    options = parser.parse_args(arguments)

    import nbformat

    target = options.output or options.notebook.with_suffix(".html")
    if not target.parent.is_dir():
        parser.error(f"there is no folder {target.parent} to write into")
    try:
        notebook = nbformat.read(options.notebook, as_version=4)
    except (OSError, ValueError, AttributeError, nbformat.reader.NotJSONError) as error:
        parser.error(f"{options.notebook} could not be read as a notebook: {error}")
    if options.execute:
        from nbclient.exceptions import CellExecutionError

        try:
            execute(notebook, options.notebook.resolve().parent)
        except CellExecutionError as error:
            parser.exit(1, f"{error}\n{options.notebook}: a cell failed (above), so no page was written.\n")
    target.write_text(publish(notebook, title=options.notebook.stem), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
