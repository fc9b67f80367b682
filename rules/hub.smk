rule push_to_hub:
    """Target: send the adapters with their cards to the Hugging Face Hub; refuses unless hub.repository is set."""
    input:
        adapters=adapter_folders_in_use,
        cards=cards_in_use,
    output:
        "<study>/hub/pushed.json",
    log:
        "<study>/logs/push_to_hub.log",
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        hub=STUDY.hub.model_dump(mode="json"),
        synthetic=experiments.all_adapters_of_synthetic_notes(STUDY),
    script:
        "../workflow_scripts/push_to_hub.py"


rule pull_from_hub:
    """Target: fetch the study's adapters from the Hugging Face Hub, beside those that were trained here."""
    output:
        adapters=directory(
            expand(
                "<study>/hub/adapters/{adapter}",
                adapter=experiments.adapters_in_use(STUDY),
            )
        ),
        record="<study>/hub/pulled.json",
    log:
        "<study>/logs/pull_from_hub.log",
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        hub=STUDY.hub.model_dump(mode="json"),
    script:
        "../workflow_scripts/pull_from_hub.py"
