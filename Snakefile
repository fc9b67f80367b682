from snakemake.utils import min_version

min_version("9.27.0")


configfile: f"{workflow.basedir}/config/config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"


container: image


pathvars:
    study=files.root,


include: "rules/extract.smk"
include: "rules/tables.smk"
include: "rules/tokenise.smk"
include: "rules/pretrain.smk"
include: "rules/search.smk"
include: "rules/finetune.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"
include: "rules/track.smk"


rule all:
    """Everything: tables, report, tracked runs."""
    default_target: True
    input:
        files.tables,
        files.carevue,
        "<study>/report.html",
        "<study>/runs/study.json",
    localrule: True
