"""The recipe: one YAML file that says what to train on, in which batches, for how long, on what."""

from dist_epochs.recipe.adapters import AdapterRecipe, FrozenRecipe, QuantizationRecipe
from dist_epochs.recipe.batch import BatchRecipe, RampRecipe
from dist_epochs.recipe.corpus import CorpusRecipe, SourceRecipe
from dist_epochs.recipe.hardware import HardwareRecipe
from dist_epochs.recipe.phases import BudgetRecipe, PhaseRecipe
from dist_epochs.recipe.reading import make_recipe, read_recipe
from dist_epochs.recipe.recipe import Recipe
from dist_epochs.recipe.training import EvaluationRecipe, ModelRecipe, OptimizerRecipe, TrackingRecipe

__all__ = [
    "AdapterRecipe",
    "BatchRecipe",
    "BudgetRecipe",
    "CorpusRecipe",
    "EvaluationRecipe",
    "FrozenRecipe",
    "HardwareRecipe",
    "ModelRecipe",
    "OptimizerRecipe",
    "PhaseRecipe",
    "QuantizationRecipe",
    "RampRecipe",
    "Recipe",
    "SourceRecipe",
    "TrackingRecipe",
    "make_recipe",
    "read_recipe",
]
