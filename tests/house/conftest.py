from pathlib import Path

import pytest

from growlab.storage import Store
from growlab.study.reading import study_from_mapping


@pytest.fixture
def growlab_home(tmp_path: Path) -> Path:
    """A folder whose growlab.db holds the study 'tiny'."""
    study = study_from_mapping(
        {
            "name": "tiny",
            "n_trials": 1,
            "data": {"source": "stdlib"},
            "layouts": {"blocks": ["attn", "mlp"], "d_model": 16, "depth": [2, 2]},
            "budget": {"steps": 1},
        }
    )
    with Store.open(f"sqlite:///{tmp_path}/growlab.db", create=True) as store:
        store.create_study(study)
    return tmp_path
