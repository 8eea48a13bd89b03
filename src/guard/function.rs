//! The public functions by name, and whether they write. Their order is that of the counters in shared memory.

/// What a function needs of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

macro_rules! functions {
    ($($variant:ident $name:literal $access:ident,)*) => {
        /// A public function.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Function {
            $($variant,)*
        }

        impl Function {
            /// All of them, each at the place of its counters.
            pub const ALL: &[Function] = &[$(Function::$variant,)*];

            /// The name in SQL.
            pub fn name(self) -> &'static str {
                match self {
                    $(Function::$variant => $name,)*
                }
            }

            /// Whether its errors are raised in any case: that is what check is for, an unread reply of hold_lease would let
            /// the effect of somebody who holds no lease commit, a view of health without rows would look well, and metrics
            /// answers no reply.
            pub fn always_raises(self) -> bool {
                matches!(
                    self,
                    Function::Check
                        | Function::HoldLease
                        | Function::ReadHealthChecks
                        | Function::ReadHealthThresholds
                        | Function::ReadServer
                        | Function::Metrics
                )
            }

            /// Whether it writes.
            pub fn access(self) -> Access {
                match self {
                    $(Function::$variant => Access::$access,)*
                }
            }
        }
    };
}

functions! {
    CreateJob "create_job" Write,
    CreateJobs "create_jobs" Write,
    UpdateJobStatus "update_job_status" Write,
    UpdateJobSuccess "update_job_success" Write,
    UpdateJobFailure "update_job_failure" Write,
    BulkUpdateJobStatus "bulk_update_job_status" Write,
    GetJob "get_job" Read,
    ListJobs "list_jobs" Read,
    CancelJob "cancel_job" Write,
    DeleteJob "delete_job" Write,
    RetryJob "retry_job" Write,
    ClaimJobs "claim_jobs" Write,
    ClaimJobsFrom "claim_jobs_from" Write,
    Heartbeat "heartbeat" Write,
    HeartbeatAll "heartbeat_all" Write,
    CompleteJob "complete_job" Write,
    CompleteJobs "complete_jobs" Write,
    FailJob "fail_job" Write,
    FailJobs "fail_jobs" Write,
    ReleaseJob "release_job" Write,
    FinishAndClaim "finish_and_claim" Write,
    HoldLease "hold_lease" Write,
    ExplainJob "explain_job" Read,
    RequestCancel "request_cancel" Write,
    RescueExpired "rescue_expired" Write,
    ConfigureQueue "configure_queue" Write,
    PauseQueue "pause_queue" Write,
    ResumeQueue "resume_queue" Write,
    ListQueues "list_queues" Read,
    JobStats "job_stats" Read,
    ReadyIn "ready_in" Read,
    Check "check" Read,
    // On a standby the server itself refuses a statement that writes.
    Execute "execute" Read,
    SetSetting "set_setting" Write,
    SetSettingText "set_setting_text" Write,
    GetSetting "get_setting" Read,
    ListSettings "list_settings" Read,
    DeleteSetting "delete_setting" Write,
    DbHealth "db_health" Read,
    ReadHealthChecks "read_health_checks" Read,
    ReadHealthThresholds "read_health_thresholds" Read,
    ReadServer "read_server" Read,
    ConfigureCheck "configure_check" Write,
    RefreshHealth "refresh_health" Write,
    Maintain "maintain" Write,
    GrantAccess "grant_access" Write,
    ReadCallStats "read_call_stats" Read,
    ReadFloorStats "read_floor_stats" Read,
    ReadWorkerStatus "read_worker_status" Read,
    Metrics "metrics" Read,
    ReadMetrics "read_metrics" Read,
    ReadSlowCalls "read_slow_calls" Read,
}
