"""Code that MLflow stores with a bundle and runs to serve it: `mlflow models serve`."""

from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from ferlab.bundle import load_bundle, softmax


class ServedBundle(PythonModel):
    """(n, c, s, s) uint8 prepared faces -> (n, k) probabilities in the order of the spec's labels."""

    def load_context(self, context: Any) -> None:
        """Load the bundle that lies among the model's artifacts."""
        self.bundle = load_bundle(context.artifacts["bundle"])

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """Answer a batch; see the class."""
        logits = self.bundle.logits(np.asarray(model_input, np.uint8))["expression"]
        return softmax(logits / self.bundle.spec.temperature)


set_model(ServedBundle())
