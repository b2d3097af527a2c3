"""Native modules, compiled for a test out of a few lines of C."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

SUFFIX = str(sysconfig.get_config_var("EXT_SUFFIX"))
"""How the file of a native module ends, for the interpreter that runs."""

_INCLUDE = Path(sysconfig.get_path("include"))
_COMPILER = shutil.which("cc")
needs_compiler = pytest.mark.skipif(
    _COMPILER is None or not (_INCLUDE / "Python.h").is_file(), reason="a C compiler and Python.h are not installed"
)

MULTI = """
#include <Python.h>
static int fill(PyObject *module) {{ return PyModule_AddStringConstant(module, "VERSION", "{version}"); }}
static PyModuleDef_Slot slots[] = {{{{Py_mod_exec, fill}}, {{0, NULL}}}};
static struct PyModuleDef definition = {{PyModuleDef_HEAD_INIT, .m_name = "{name}", .m_slots = slots}};
PyMODINIT_FUNC PyInit_{name}(void) {{ return PyModuleDef_Init(&definition); }}
"""
SINGLE = """
#include <Python.h>
static struct PyModuleDef definition = {{PyModuleDef_HEAD_INIT, .m_name = "{name}", .m_size = -1}};
PyMODINIT_FUNC PyInit_{name}(void) {{
    PyObject *module = PyModule_Create(&definition);
    if (module) PyModule_AddStringConstant(module, "VERSION", "{version}");
    return module;
}}
"""


def compiled(aside: Path, source: str, name: str, version: str) -> bytes:
    """The file of a native module.

    Args:
        aside: A folder for what the compiler reads and writes.
        source: `MULTI` or `SINGLE`, by how it is initialised.
        name: The module's name.
        version: What its `VERSION` is.
    """
    written, made = aside / f"{name}.c", aside / f"{name}{SUFFIX}"
    written.write_text(source.format(name=name, version=version))
    command = [str(_COMPILER), "-shared", "-fPIC", f"-I{_INCLUDE}", str(written), "-o", str(made)]
    subprocess.run(command, check=True, timeout=60)
    return made.read_bytes()
