"""The columns of every table in its machine-readable form: users read them by name."""

COLUMNS = {
    "attrition": (
        "task protocol number step unit rows patients rows_left_out patients_left_out also_left_out published_rows "
        "difference_rows"
    ),
    "calibration": (
        "model label task scores seeds temperature auroc_percent brier brier_low brier_high log_loss log_loss_low "
        "log_loss_high ece ece_low ece_high calibration_slope calibration_slope_low calibration_slope_high "
        "calibration_intercept calibration_intercept_low calibration_intercept_high alert_sensitivity_aimed "
        "alerts_per_100 alerts_per_100_low alerts_per_100_high alert_sensitivity alert_sensitivity_low "
        "alert_sensitivity_high alert_precision alert_precision_low alert_precision_high alerts_per_case "
        "alerts_per_case_low alerts_per_case_high undefined protocol cohort_sha256"
    ),
    "cohort_details": (
        "task protocol admissions patients classes multilabel prevalence class_shares mean_cardinality "
        "without_code published_admissions difference_admissions published_classes difference_classes"
    ),
    "contamination_gaps": (
        "task comparison first second first_label second_label seeds classes admissions patients positives "
        "first_percent second_percent difference_percent low_percent high_percent total_low_percent "
        "total_high_percent level standard_error_percent degrees_of_freedom p_total p_holm significant "
        "undefined_resamples membership membership_approximate undefined protocol cohort_sha256"
    ),
    "corpora": (
        "corpus notes_read notes_of_release empty duplicates marked_as_error of_held_out_patients "
        "repeating_held_out drawn_out notes"
    ),
    "cost": (
        "part label runs trained_tokens forward_tokens step_tokens device_seconds original_step_tokens "
        "original_device_seconds times_fewer_tokens peak_memory_gb energy_wh"
    ),
    "dataset_statistics": (
        "task classes multilabel train validation test patients prevalence mean_cardinality mean_words "
        "published_classes published_multilabel published_train published_validation published_test "
        "difference_classes difference_train difference_validation difference_test"
    ),
    "domain_adaptation": (
        "adapter label base corpus method trainable_parameters trainable_percent train_perplexity "
        "test_perplexity_before test_perplexity_after train_seconds tokens_per_second "
        "published_trainable_parameters published_trainable_percent published_train_perplexity "
        "published_test_perplexity published_train_seconds general_perplexity_before general_perplexity_after "
        "difference_trainable_parameters difference_trainable_percent difference_train_perplexity "
        "difference_test_perplexity"
    ),
    "downstream_lora_baselines": (
        "model label task auroc_percent low_percent high_percent level seeds seed_sd_percent test_admissions "
        "test_patients classes_scored classes published_percent difference_percent published_row_mean_percent "
        "published_average_is_row_mean protocol cohort_sha256"
    ),
    "downstream_main": (
        "model label task auroc_percent low_percent high_percent level seeds seed_sd_percent test_admissions "
        "test_patients classes_scored classes published_percent difference_percent published_row_mean_percent "
        "published_average_is_row_mean protocol cohort_sha256"
    ),
    "metrics": (
        "model label task seeds classes classes_scored level auroc_percent auroc_low_percent auroc_high_percent "
        "auprc_percent auprc_low_percent auprc_high_percent f1_micro_percent f1_micro_low_percent "
        "f1_micro_high_percent f1_macro_percent f1_macro_low_percent f1_macro_high_percent brier brier_low "
        "brier_high log_loss log_loss_low log_loss_high threshold threshold_chosen_on undefined protocol "
        "cohort_sha256"
    ),
    "multilabel_metrics": (
        "model label task seeds classes classes_scored level auroc_percent auroc_low_percent auroc_high_percent "
        "auroc_micro_percent auroc_micro_low_percent auroc_micro_high_percent auroc_weighted_percent "
        "auroc_weighted_low_percent auroc_weighted_high_percent auroc_head_percent auroc_head_low_percent "
        "auroc_head_high_percent auroc_middle_percent auroc_middle_low_percent auroc_middle_high_percent "
        "auroc_tail_percent auroc_tail_low_percent auroc_tail_high_percent auprc_percent auprc_low_percent "
        "auprc_high_percent auprc_micro_percent auprc_micro_low_percent auprc_micro_high_percent "
        "auprc_weighted_percent auprc_weighted_low_percent auprc_weighted_high_percent auprc_head_percent "
        "auprc_head_low_percent auprc_head_high_percent auprc_middle_percent auprc_middle_low_percent "
        "auprc_middle_high_percent auprc_tail_percent auprc_tail_low_percent auprc_tail_high_percent "
        "precision_at_1_percent precision_at_1_low_percent precision_at_1_high_percent precision_at_5_percent "
        "precision_at_5_low_percent precision_at_5_high_percent precision_at_10_percent "
        "precision_at_10_low_percent precision_at_10_high_percent head_classes head_scored middle_classes "
        "middle_scored tail_classes tail_scored head_above tail_below undefined protocol cohort_sha256"
    ),
    "protocol_gaps": (
        "switch concerns task corrected_percent ablation_percent difference_percent level low_percent high_percent "
        "bca_low_percent bca_high_percent total_low_percent total_high_percent standard_error_percent "
        "degrees_of_freedom undefined_resamples p_value p_total p_holm significant corrected_admissions "
        "ablation_admissions corrected_classes ablation_classes admissions_joined admissions_left texts_changed "
        "labels_changed corrected_protocol ablation_protocol corrected_cohort_sha256 ablation_cohort_sha256"
    ),
    "scoring_variants": (
        "model label task seeds classes classes_scored auroc_corrected_percent auroc_paper_percent "
        "auroc_difference_percent auprc_corrected_percent auprc_paper_percent auprc_difference_percent "
        "f1_micro_corrected_percent f1_micro_paper_percent f1_micro_difference_percent f1_macro_corrected_percent "
        "f1_macro_paper_percent f1_macro_difference_percent protocol cohort_sha256"
    ),
    "subgroups": (
        "model label task attribute group reference admissions patients positives seeds classes classes_with_few "
        "auroc_percent auroc_low_percent auroc_high_percent gap_percent gap_low_percent gap_high_percent p_value "
        "p_holm significant brier brier_low brier_high brier_gap brier_gap_low brier_gap_high "
        "calibration_intercept calibration_intercept_low calibration_intercept_high calibration_intercept_gap "
        "calibration_intercept_gap_low calibration_intercept_gap_high suppressed protocol cohort_sha256"
    ),
    "training_size": (
        "task model label train_size train_rows train_patients auroc_percent seeds seed_sd_percent level "
        "metric_low_percent metric_high_percent metric_bca_low_percent metric_bca_high_percent "
        "metric_total_low_percent metric_total_high_percent metric_standard_error_percent "
        "metric_degrees_of_freedom metric_undefined_resamples difference_percent low_percent high_percent "
        "bca_low_percent bca_high_percent total_low_percent total_high_percent standard_error_percent "
        "degrees_of_freedom undefined_resamples p_value p_total p_holm significant protocol cohort_sha256"
    ),
    "text_lengths": ("task unit mean median p95 longest"),
    "uncertainty": (
        "kind group task first second first_label second_label auroc_percent difference_percent seeds "
        "seed_sd_percent level low_percent high_percent bca_low_percent bca_high_percent total_low_percent "
        "total_high_percent standard_error_percent degrees_of_freedom undefined_resamples p_value p_holm p_total "
        "p_holm_table significant delong_difference_percent delong_standard_error_percent delong_low_percent "
        "delong_high_percent delong_p_value protocol cohort_sha256"
    ),
}
