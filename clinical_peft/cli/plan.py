"""`clinical-peft plan`."""

from pathlib import Path

import click

from clinical_peft.cli.arguments import STUDY, examples


@click.command(
    "plan",
    short_help="Estimate jobs, tokens, disk and time of STUDY.",
    epilog=examples("clinical-peft plan mine.yaml", "clinical-peft plan config/paper.yaml --cores 64"),
)
@STUDY
@click.option("--cores", type=click.IntRange(min=1), help="Cores to plan for; those of this machine if absent.")
def COMMAND(study: Path, cores: int | None) -> None:
    """Estimate what STUDY takes: jobs, tokens and disk by stage, and a range of time for each model and task.

    Times come from jobs that have finished on this machine (results/*), or else from the study's budget.
    """
    from clinical_peft.workflow.opened_study import open_study
    from clinical_peft.workflow.plan import plan, render
    from clinical_peft.workflow.plan_times import plan_times, render_times

    opened = open_study(study)
    times = plan_times(opened.study, opened.results.parent)
    click.echo(f"$ make plan STUDY={study}\n\n{render(opened.study, plan(opened.study))}\n")
    click.echo(render_times(opened.study, times, cores=cores))
    for notice in opened.notices:
        click.echo(f"\n{notice}")
