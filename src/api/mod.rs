//! The SQL functions, one file a family: arguments to Rust types, then the guard, and nothing else.
//!
//! Doc comments here are the `COMMENT ON FUNCTION` too (`sql/80_comments.sql`; a test compares them).

mod access;
#[cfg(test)]
mod comments;
mod diagnostics;
mod execute;
mod figures;
mod health;
mod jobs;
mod leases;
mod metrics;
mod queues;
mod settings;
mod triggers;
mod waiting;
mod workers;

use pgrx::extension_sql_file;

/// Known to pgrx, so that functions can name it. The bootstrap script has made it before, and fails where somebody
/// else had: pgrx's own statement would take over what lies there.
#[pgrx::pg_schema]
mod foreman {}

extension_sql_file!("../../sql/10_bootstrap.sql", name = "bootstrap", bootstrap);
extension_sql_file!(
    "../../sql/20_jobs.sql",
    name = "jobs",
    requires = ["bootstrap", leases::lease_end, leases::lease_progress, leases::lease_note]
);
extension_sql_file!("../../sql/21_partitions.sql", name = "partitions", requires = ["jobs"]);
extension_sql_file!("../../sql/25_waiting.sql", name = "waiting", requires = ["partitions"]);
extension_sql_file!(
    "../../sql/26_worker.sql",
    name = "worker",
    requires = ["waiting", diagnostics::read_worker_status]
);
extension_sql_file!("../../sql/30_settings.sql", name = "settings", requires = ["worker"]);
extension_sql_file!(
    "../../sql/35_counted_days.sql",
    name = "counted_days",
    requires = ["settings", figures::finished_days]
);
extension_sql_file!(
    "../../sql/36_figures.sql",
    name = "figures",
    requires = [
        "counted_days",
        figures::are_small,
        figures::counted_figures,
        figures::ended_figures,
        figures::ended_take_long,
        figures::figure_source,
        figures::figures_since,
        figures::live_figures,
        figures::live_take_long,
        figures::uncounted_figures
    ]
);
extension_sql_file!(
    "../../sql/40_health.sql",
    name = "health",
    requires =
        ["figures", health::db_health, health::read_health_checks, health::read_health_thresholds, health::read_server]
);
extension_sql_file!("../../sql/41_server.sql", name = "server", requires = ["health"]);
extension_sql_file!(
    "../../sql/42_slow_checks.sql",
    name = "slow_checks",
    requires = ["server", health::refresh_health]
);
extension_sql_file!(
    "../../sql/50_views.sql",
    name = "views",
    requires =
        ["slow_checks", diagnostics::read_call_stats, diagnostics::read_floor_stats, diagnostics::read_slow_calls]
);
extension_sql_file!(
    "../../sql/55_metrics.sql",
    name = "metrics",
    requires = ["views", metrics::metrics, metrics::read_metrics]
);
extension_sql_file!(
    "../../sql/80_comments.sql",
    name = "comments",
    // The procedures among them are made by the files before.
    requires = [
        "views",
        access::grant_access,
        diagnostics::check,
        diagnostics::read_call_stats,
        diagnostics::read_floor_stats,
        diagnostics::read_slow_calls,
        diagnostics::read_worker_status,
        execute::execute,
        figures::are_small,
        figures::counted_figures,
        figures::ended_figures,
        figures::ended_take_long,
        figures::figure_source,
        figures::figures_since,
        figures::finished_days,
        figures::live_figures,
        figures::live_take_long,
        figures::uncounted_figures,
        health::configure_check,
        health::db_health,
        health::read_health_checks,
        health::read_health_thresholds,
        health::is_ready,
        health::read_server,
        jobs::bulk_update_job_status,
        jobs::cancel_job,
        jobs::create_job,
        jobs::create_jobs,
        jobs::delete_job,
        jobs::get_job,
        jobs::job_stats,
        jobs::list_jobs,
        jobs::maintain,
        jobs::retry_job,
        jobs::update_job_failure,
        jobs::update_job_status,
        jobs::update_job_success,
        leases::lease_end,
        leases::lease_note,
        leases::lease_progress,
        metrics::metrics,
        metrics::read_metrics,
        queues::configure_queue,
        queues::list_queues,
        queues::pause_queue,
        queues::resume_queue,
        settings::delete_setting,
        settings::get_setting,
        settings::list_settings,
        settings::set_setting,
        settings::set_setting_text,
        waiting::ready_in,
        workers::claim_jobs,
        workers::claim_jobs_from,
        workers::complete_job,
        workers::complete_jobs,
        workers::explain_job,
        workers::fail_job,
        workers::fail_jobs,
        workers::finish_and_claim,
        workers::heartbeat,
        workers::heartbeat_all,
        workers::hold_lease,
        workers::release_job,
        workers::request_cancel,
        workers::rescue_expired,
    ]
);
extension_sql_file!("../../sql/90_dump.sql", name = "dump", requires = ["metrics", "comments"]);
extension_sql_file!("../../sql/95_access.sql", name = "access", requires = ["dump"], finalize);
