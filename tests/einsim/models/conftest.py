"""What tests of models share."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def file(tmp_path):
    def written(config):
        path = tmp_path / f"{config['model_type']}.json"
        path.write_text(json.dumps(config))
        return str(path)

    return written
