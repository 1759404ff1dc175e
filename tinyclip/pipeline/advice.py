"""What was measured that speaks against a recipe, told with its plan."""

from __future__ import annotations

from ..config.schema import Recipe

MEASURED = 100_000  # samples of a run up to which the two ways were compared


def advice_of(recipe: Recipe) -> tuple[str, ...]:
    """One sentence for each choice that was measured to pay less than another.

    The figures are those of docs/results.md: 25 % of the embedded teacher's encoder,
    150 steps of 128 on 1,000 pictures.
    """
    samples = sum(stage.batch * sum(stage.steps.values()) for stage in recipe.stages)
    phases = {name for stage in recipe.stages for name in stage.phases}
    if "learn" not in phases or "allocate" in phases or samples > MEASURED:
        return ()
    few = f"{samples:,} samples are few to learn masks with: at 19,200 the student of "
    if "solve" in phases:
        return (
            few + "masks learned in the basis kept 91 % of its teacher, in three "
            "stages 90 %, and that of sizes shared by the closed form 93 % "
            "(docs/results.md). Try phases: [rotate, allocate, inherit, solve, distil]",
        )
    return (
        few + "learned masks kept 49 % of its teacher, that of the closed form 93 %, "
        "and 89 % with no training at all (docs/results.md). Try: tinyclip compress "
        "cut, or the recipes demo and standard",
    )
