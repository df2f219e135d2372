"""What all pages of ours are made with: templates that escape, and a policy under which no stranger's words can run."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

STYLE = (Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
"""The look that the pages share."""


def template(path: Path, filters: Iterable[Callable[..., Any]] = ()) -> jinja2.Template:
    """A template, which may include others of its folder: all that is put into it is escaped, and nothing may be
    missing. Filters go by their functions' names."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(path.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({function.__name__: function for function in filters})
    return environment.get_template(path.name)


def policy(style: str, script: str = "", also: str = "") -> str:
    """A content security policy: this inline style and script, by their hashes, what `also` allows, nothing else."""
    parts = ["default-src 'none'", f"style-src '{_digest(style)}'"]
    parts += [f"script-src '{_digest(script)}'"] if script else []
    parts += [also] if also else []
    return "; ".join([*parts, "base-uri 'none'", "form-action 'none'"])


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def embedded(value: object) -> Markup:
    """`value` as JSON that may stand inside a <script> element: without <, >, & and line separators of JavaScript."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
