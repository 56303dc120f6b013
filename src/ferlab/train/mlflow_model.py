"""The bundle as an MLflow model. MLflow stores a copy of serve.py, and runs it to load the model."""

from pathlib import Path
from typing import Any

import ferlab


def log_bundle(uri: str, run_id: str, bundle: Path, inputs: Any, outputs: Any) -> None:
    """Log `bundle` to the run as the model "bundle".

    Args:
        uri: MLflow's store.
        run_id: the run.
        bundle: the bundle's folder.
        inputs, outputs: example arrays, from which the signature follows.
    """
    import mlflow
    from mlflow.models import infer_signature

    mlflow.set_tracking_uri(uri)
    with mlflow.start_run(run_id=run_id):
        mlflow.pyfunc.log_model(
            name="bundle",
            python_model=str(Path(__file__).with_name("serve.py")),
            artifacts={"bundle": str(bundle)},
            signature=infer_signature(inputs, outputs),
            input_example=inputs,
            pip_requirements=[f"ferlab=={ferlab.__version__}"],
        )
