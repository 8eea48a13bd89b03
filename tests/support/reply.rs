//! What the tests ask of a reply.

use serde_json::Value;

pub trait Reply: Sized {
    /// The reply says `success`.
    #[track_caller]
    fn succeeded(self) -> Self;

    /// The reply is the error `code`, with all that every error carries.
    #[track_caller]
    fn failed_with(self, code: &str) -> Self;

    /// How often the call was tried; a reply that does not say was tried once.
    fn attempts(&self) -> i64;

    /// The job that the reply names.
    #[track_caller]
    fn job_id(&self) -> i64;
}

impl Reply for Value {
    fn succeeded(self) -> Self {
        assert_eq!(self["status"], "success", "{self:#}");
        self
    }

    fn failed_with(self, code: &str) -> Self {
        assert_eq!(self["status"], "error", "{self:#}");
        assert_eq!(self["error_code"], code, "{self:#}");
        assert!(self["http_status"].is_i64(), "{self:#}");
        assert!(self["message"].is_string(), "{self:#}");
        assert!(self["retryable"].is_boolean(), "{self:#}");
        assert!(self["attempts"].is_i64(), "{self:#}");
        self
    }

    fn attempts(&self) -> i64 {
        self["attempts"].as_i64().unwrap_or(1)
    }

    fn job_id(&self) -> i64 {
        self["job_id"].as_i64().unwrap_or_else(|| panic!("a job_id in {self:#}"))
    }
}
