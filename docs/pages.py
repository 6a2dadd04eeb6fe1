"""The site's pages are the repository's documents, those outside docs/ among them.

A hook of MkDocs (mkdocs.yml). In the repository a link is the path of a file. On the site it becomes the path of a page
if that file is one, and an address in the repository otherwise.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "index.md": "README.md",
    "benchmarks.md": "benchmarks/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "engine.md": "runtime/native/README.md",
    "model-card.md": "runtime/avatar_runtime/models/MODEL_CARD.md",
    "security.md": "SECURITY.md",
    "web-model.md": "runtime/web/model/README.md",
    "web-package.md": "runtime/web/README.md",
}
"""Pages of the site whose document is not in docs/."""

PAGE_OF = {path: page for page, path in OUTSIDE.items()}
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
CODE = re.compile(r"(^ *```.*?^ *```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents outside docs/ and the pictures that they show."""
    for page, path in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace the links of one document, outside its code."""
    uri = page.file.src_uri
    folder = posixpath.dirname(OUTSIDE.get(uri, f"docs/{uri}"))

    def replaced(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        name, mark, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target) or not name:
            return match[0]
        path = posixpath.normpath(posixpath.join(folder, name))
        found = PAGE_OF.get(path, path.removeprefix("docs/"))
        if files.get_file_from_path(found) is not None:
            target = posixpath.relpath(found, posixpath.dirname(uri) or ".")
        elif (ROOT / path).exists():
            kind = "tree" if (ROOT / path).is_dir() else "blob"
            target = f"{config.extra['repository']}/{kind}/main/{path}"
        else:
            raise PluginError(f"{uri}: the link {target} leads to no file")
        return f"{before}{target}{mark}{anchor}{after}"

    parts = CODE.split(markdown)
    parts[::2] = [LINK.sub(replaced, part) for part in parts[::2]]
    return "".join(parts)
