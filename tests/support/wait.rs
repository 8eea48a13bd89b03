//! Waiting for facts. A test never sleeps and hopes: it looks until the fact is there, or says which one never came.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a fact may take. Far beyond what any takes on a busy machine, so that a failure is a failure.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Looks every 5 ms until `fact` holds; `what` is the end of the sentence "waited 20 s for …".
#[track_caller]
pub fn wait_until(what: &str, mut fact: impl FnMut() -> bool) {
    let start = Instant::now();
    while !fact() {
        assert!(start.elapsed() < LIMIT, "waited {} s for {what}", LIMIT.as_secs());
        sleep(Duration::from_millis(5));
    }
}
