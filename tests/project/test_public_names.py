"""The public names, written out: no change of them goes unnoticed."""

import ast
import importlib
import inspect

import pytest

import keras_temporal_reg as ktr

PUBLIC = {
    "keras_temporal_reg": """
        RandomAffine RandomFlow RegularizedModel blend callbacks choose_alpha choose_strength data
        evaluate finetune image losses metrics pair perturbations process reproduce steady tasks
        transforms
    """,
    "keras_temporal_reg.data": """
        augment check_numerics from_directory from_hdf5 pair pair_with_transformed with_teacher
    """,
    "keras_temporal_reg.losses": """
        SparseJacobianLoss TransformInvarianceLoss is_regularized sparse_jacobian
        transform_invariance
    """,
    "keras_temporal_reg.metrics": """
        Flicker MEASURES Measure Outcome Stability Unpaired Verdict WarpingError contrast_ratio
        excess_removed flicker high_pass label_changes psnr relative_smoothness
        scale_invariant_error smoothness ssim stability structure temporal_error verdict
        verdict_without_reference warping_error
    """,
    "keras_temporal_reg.tasks": """
        Task colorization deblurring denoising find hdr low_light restoration sensor_denoising
        super_resolution super_resolution_3 super_resolution_4 with_value_range
    """,
    "keras_temporal_reg.transforms": """
        RandomAffine RandomFlow identity rescale_flow rescale_transforms
    """,
    "keras_temporal_reg.evaluation": "ClipEvaluation Evaluation Processed evaluate process",
    "keras_temporal_reg.experiments": "Claim ExperimentConfig Reproduction reproduce",
    "keras_temporal_reg.finetuning": """
        Choice FineTuned FinetuneConfig Trial blend choose_alpha choose_strength finetune
    """,
    "keras_temporal_reg.steadying": "Steadied SteadyConfig steady",
}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_front_door_offers_these_names(name):
    module = importlib.import_module(name)
    assert sorted(module.__all__) == sorted(PUBLIC[name].split())
    assert {*module.__all__} <= {*dir(module)}
    for each in module.__all__:
        assert getattr(module, each) is not None, each


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("image", {"get_backend", "set_backend", "transform"}),
        ("perturbations", {"Chain", "SensorNoise"}),
        ("callbacks", {"CheckNumerics", "TemporalStability"}),
    ],
)
def test_a_public_module_defines_these_names(name, listed):
    module = getattr(ktr, name)
    own = {
        each
        for each, value in vars(module).items()
        if not each.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }
    assert listed <= own


def test_type_checkers_see_the_public_names():
    tree = ast.parse(inspect.getsource(ktr))
    (block,) = (
        n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "_TYPE_CHECKING"
    )
    imported = {alias.asname: alias for node in block.body for alias in node.names}
    assert sorted(imported) == sorted(ktr.__all__)
    for node in block.body:
        for alias in node.names:
            assert getattr(importlib.import_module(node.module), alias.name) is getattr(
                ktr, alias.name
            )
