"""The bundle as an MLflow model. MLflow stores a copy of serve.py, and runs it to load the model."""

import os
from pathlib import Path
from typing import Any

import ferlab


def log_bundle(
    uri: str,
    run_id: str,
    bundle: Path,
    inputs: Any,
    outputs: Any,
    extra: str | None = None,
    register: str | None = None,
) -> None:
    """Log `bundle` to the run, as a model called "bundle" or like the exported file.

    Args:
        uri: MLflow's store.
        run_id: the run.
        bundle: the bundle's folder, or a file exported from it.
        inputs, outputs: example arrays, from which the signature follows.
        extra: of ferlab, which an exported file needs.
        register: what the model is called in MLflow's registry; it stays out of it by default.
    """
    import mlflow
    from mlflow.models import infer_signature

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)  # of the whole process, and sets that variable
    try:
        with mlflow.start_run(run_id=run_id):
            mlflow.pyfunc.log_model(
                name=bundle.stem,
                python_model=str(Path(__file__).with_name("serve.py")),
                artifacts={"bundle": str(bundle)},
                signature=infer_signature(inputs, outputs),
                input_example=inputs,
                pip_requirements=[f"ferlab{f'[{extra}]' if extra else ''}=={ferlab.__version__}"],
                registered_model_name=register,
            )
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None is what it was
