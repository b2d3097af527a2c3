"""A folder in which distributions are installed, as pip leaves them there."""

import shutil
from pathlib import Path

TOML = 'id = "{id}"\nversion = "{version}"\n{more}\n'


class SitePackages:
    """Installs distributions that announce plugins.

    Args:
        path: The folder; made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def install(self, distribution: str, version: str, entry_points: str) -> Path:
        """Leave the record of a distribution, in the place of another version of it."""
        self.uninstall(distribution)
        record = self.path / f"{distribution}-{version}.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (record / "entry_points.txt").write_text(entry_points)
        return record

    def uninstall(self, distribution: str) -> None:
        """Take the record of a distribution away, if it is there."""
        for record in self.path.glob(f"{distribution}-*.dist-info"):
            shutil.rmtree(record)

    def plugin(self, plugin: str, version: str, more: str = "", **files: str) -> Path:
        """Install a plugin in a package `<plugin>_plugin` of a distribution of that name; `files` are its modules.

        Returns:
            The package's folder.
        """
        package = f"{plugin}_plugin"
        self.install(package, version, f"[changeover.plugins]\n{plugin} = {package}\n")
        folder = self.path / package
        folder.mkdir(exist_ok=True)
        (folder / "plugin.toml").write_text(TOML.format(id=plugin, version=version, more=more))
        for name, text in {"__init__": "", **files}.items():
            (folder / f"{name}.py").write_text(text)
        return folder
