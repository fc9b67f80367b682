from snakemake.utils import min_version

min_version("9.27.0")


configfile: f"{workflow.basedir}/config/config.yaml"


include: "rules/common.smk"
include: "rules/hospital.smk"
include: "rules/models.smk"
include: "rules/selection.smk"
include: "rules/arms.smk"
include: "rules/description.smk"


pathvars:
    study=ROOT,


include: "rules/extract.smk"
include: "rules/tokenise.smk"
include: "rules/pretrain.smk"
include: "rules/search.smk"
include: "rules/finetune.smk"
include: "rules/gaps.smk"
include: "rules/evaluate.smk"
include: "rules/hub.smk"


rule all:
    """Everything: tables, report, tracked runs."""
    default_target: True
    input:
        rules.tables.input,
        rules.report.input,
        f"{ROOT}/runs/study.json",
    localrule: True


onstart:
    check_before_first_job()
    keep_to_owner(Path(".snakemake"))
    take_lease()
    forget_forced_seeds()


onsuccess:
    LEASE.release()
    print_results()


onerror:
    LEASE.release()
