//! What is judged by how much it grew between readings.

use super::check::Measure;
use crate::guc;
use crate::pg::{process, xact};
use crate::shared::samples::{self, Missing, Span};

/// Over how many readings most rates are told: ten minutes, one a minute.
pub const SOME: usize = 10;
/// All that are kept: two hours.
pub const ALL: usize = usize::MAX;

/// Measures by the last readings, up to so many.
pub fn over(readings: usize, measure: impl FnOnce(&Span) -> Measure) -> Option<Measure> {
    let span = samples::span(process::database(), readings, xact::clock(), guc::sample_interval());
    Some(match span {
        Ok(span) => measure(&span),
        Err(missing) => unknown(missing),
    })
}

/// A value, what it means, and what to do.
pub fn told(value: f64, meaning: String, remedy: &str) -> Measure {
    Measure { value: Some(value), meaning: Some(meaning), remedy: Some(remedy.to_owned()), ..Measure::default() }
}

/// Who took the readings could not see what sessions do.
pub fn hidden_sessions() -> Measure {
    Measure::because(
        "the readings were taken by roles that may not see the sessions of others; those of the background worker, or of a role \
         with pg_monitor, tell"
            .to_owned(),
    )
}

/// How much, with a word for it.
pub fn bytes(number: f64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let power = (number.max(1.0).log2() / 10.0).floor().clamp(0.0, 4.0);
    format!("{:.0} {}", number / 1024f64.powf(power), UNITS.get(power as usize).unwrap_or(&"bytes"))
}

/// Why there is no rate.
fn unknown(missing: Missing) -> Measure {
    const PRELOAD: &str =
        "ALTER SYSTEM SET shared_preload_libraries = 'pg_foreman'; -- beside what is there; takes a restart";
    let (reason, reveal) = match missing {
        Missing::Preload => ("rates are told of readings in shared memory, which take preloading", Some(PRELOAD)),
        Missing::Place => ("readings are kept for 64 databases, and this is one more", None),
        Missing::Second => ("there is no second reading yet since the start or a reset of the statistics", None),
        Missing::Fresh => ("the counters could not be read of late", None),
    };
    Measure { reason: Some(reason.to_owned()), reveal: reveal.map(str::to_owned), ..Measure::default() }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_told_in_the_unit_that_fits() {
        let told = [0.0, 1023.0, 1024.0, 1_572_864.0, 1e15, 1e20].map(bytes);
        assert_eq!(told, ["0 bytes", "1023 bytes", "1 kB", "2 MB", "909 TB", "90949470 TB"]);
    }
}
