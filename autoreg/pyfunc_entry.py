"""Entry point of a registered model: MLflow runs a copy of this file when it loads one. autoreg never imports it.

The prediction code and data lie beside it; nothing is unpickled and autoreg itself need not be installed.
"""

from __future__ import annotations

import importlib.util
import sys
import zlib
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel


class AutoregModel(PythonModel):
    """Predicts from raw rows or images: ``prediction``, and ``probability_<class>`` for every class."""

    def load_context(self, context: Any) -> None:
        """Load the package with the serving code that was stored with it."""
        folder = Path(context.artifacts["package"])
        # A name of its own for every folder: two models of different versions may live in one process.
        name = f"autoreg_packaged_serving_{zlib.crc32(str(folder.resolve()).encode()):08x}"
        place = folder / "serving" / "__init__.py"
        spec = importlib.util.spec_from_file_location(
            name, place, submodule_search_locations=[str(place.parent)]
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"no serving code in {folder}")
        serving = importlib.util.module_from_spec(spec)
        sys.modules[name] = serving
        spec.loader.exec_module(serving)
        self.package = serving.Package.load(folder)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict a frame of raw rows, columns in any order; of images also an array (n, *image) or (n, pixels).

        Raises
        ------
        MlflowException
            The rows cannot be used, in one line that names the column. A scoring server answers 400 with it; of any other
            error it would tell nothing but a traceback.
        """
        images = isinstance(model_input, np.ndarray) and self.package.image is not None
        try:
            predicted: pd.DataFrame = self.package.predict(
                model_input if images else pd.DataFrame(model_input)
            )
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        return predicted


mlflow.models.set_model(AutoregModel())
