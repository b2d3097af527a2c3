"""A folder of plugins, written the way a person would."""

from pathlib import Path

SINGLE = """# /// script
# [tool.changeover]
# id = "{id}"
# version = "{version}"
{lines}# ///
{code}
"""


class PluginFolder:
    """Writes plugins below `path`.

    Args:
        path: The folder; made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def single(self, plugin: str, version: str = "1.0", more: str = "", code: str = "") -> Path:
        """Write a single-file plugin; `more` is further TOML."""
        lines = "".join(f"# {line}\n" for line in more.splitlines())
        file = self.path / f"{plugin}.py"
        file.write_text(SINGLE.format(id=plugin, version=version, lines=lines, code=code))
        return file

    def folder(self, plugin: str, version: str = "1.0", more: str = "", **files: str) -> Path:
        """Write a plugin's folder; `files` are modules by name."""
        folder = self.path / plugin
        folder.mkdir(exist_ok=True)
        (folder / "plugin.toml").write_text(f'id = "{plugin}"\nversion = "{version}"\n{more}\n')
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        return folder
