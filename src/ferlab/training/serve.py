"""Code that MLflow stores with a bundle or a file exported from one, and runs to serve it: `mlflow models serve`."""

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from ferlab.formats import open_model


class ServedBundle(PythonModel):
    """(n, c, s, s) uint8 prepared faces -> "expression" (n, k) probabilities in the order of the spec's labels, and
    "affect" (n, 2), for the heads that the bundle has.
    """

    # The signature that is logged with the model says what goes in; without this MLflow asks for type hints that say
    # so again. Those that Python wants it would take for that schema, so there are none.
    _skip_type_hint_validation = True

    def load_context(self, context):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        """Load the bundle or exported file that lies among the model's artifacts."""
        self.bundle = open_model(context.artifacts["bundle"])

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        """Answer a batch; see the class."""
        return self.bundle.answers(np.asarray(model_input, np.uint8))


set_model(ServedBundle())
