"""All of these tests need a model: without torch their modules are skipped, before they import anything."""

import pytest

pytest.importorskip("torch", reason="needs polyfact[eval]")
pytest.importorskip("transformers", reason="needs polyfact[eval]")
pytest.importorskip("matplotlib", reason="needs polyfact[eval]")
