"""What PyInstaller does not see: the models and the page, and the modules that are imported by name."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

datas = collect_data_files("avatar_runtime")
hiddenimports = collect_submodules("avatar_runtime")
