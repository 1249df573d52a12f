"""All of these tests need a model: without torch their modules are skipped, before they import anything."""

from importlib.util import find_spec

import pytest

for name in ("torch", "transformers", "matplotlib"):
    if find_spec(name) is None:
        pytest.skip("needs polyfact[eval]", allow_module_level=True)
