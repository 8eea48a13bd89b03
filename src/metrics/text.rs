//! Samples as text: Prometheus' format 0.0.4, and OpenMetrics 1.0. They differ in whether a counter's family bears the
//! `_total` of its samples, in a type of their own for what says which version there is, and in the last line.

use std::cmp::Ordering;
use std::fmt::Write;
use std::time::Duration;

/// The two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// The words for them, in the order of the enum.
    pub const WORDS: [&str; 2] = ["prometheus", "openmetrics"];

    /// The one of this word, which was checked before.
    pub fn of_word(word: &str) -> Self {
        if word == Self::WORDS[1] { Format::OpenMetrics } else { Format::Prometheus }
    }
}

/// A sample, in UTF-8.
pub struct Sample {
    pub name: String,
    /// counter, gauge, histogram or info.
    pub kind: String,
    pub help: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// How long the collecting took; a row of the view can't know it.
pub fn duration(took: Duration) -> Sample {
    Sample {
        name: "foreman_scrape_duration_seconds".to_owned(),
        kind: "gauge".to_owned(),
        help: "What it took to collect the other samples of this text.".to_owned(),
        labels: Vec::new(),
        value: took.as_secs_f64(),
    }
}

impl Sample {
    /// The name of its family and what that is, as the format has them.
    fn family(&self, format: Format) -> (&str, &str) {
        let without = |endings: &[&str]| {
            endings.iter().find_map(|ending| self.name.strip_suffix(ending)).unwrap_or(self.name.as_str())
        };
        match (self.kind.as_str(), format) {
            ("histogram", _) => (without(&["_bucket", "_sum", "_count"]), "histogram"),
            ("counter", Format::OpenMetrics) => (without(&["_total"]), "counter"),
            ("info", Format::OpenMetrics) => (without(&["_info"]), "info"),
            ("info", Format::Prometheus) => (&self.name, "gauge"),
            (kind, _) => (&self.name, kind),
        }
    }

    /// Where a histogram's bucket ends.
    fn end(&self) -> Option<f64> {
        self.labels.iter().find(|(name, _)| name == "le").and_then(|(_, end)| end.parse().ok())
    }

    /// A family's samples stand together, and a histogram's buckets in their order.
    pub fn order(&self, other: &Self) -> Ordering {
        let by_bucket = || self.end().partial_cmp(&other.end()).unwrap_or(Ordering::Equal);
        self.name.cmp(&other.name).then_with(by_bucket).then_with(|| self.labels.cmp(&other.labels))
    }

    /// Appends its line.
    fn write(&self, text: &mut String) {
        text.push_str(&self.name);
        for (place, (name, value)) in self.labels.iter().enumerate() {
            text.push(if place == 0 { '{' } else { ',' });
            text.push_str(name);
            text.push_str("=\"");
            escape(text, value, true);
            text.push('"');
        }
        text.push_str(if self.labels.is_empty() { " " } else { "} " });
        number(text, self.value);
        text.push('\n');
    }
}

/// The samples as text. Those of a family stand together.
pub fn write(samples: &[Sample], format: Format) -> String {
    let (mut text, mut last) = (String::with_capacity(samples.len() * 96), "");
    for sample in samples {
        let (family, kind) = sample.family(format);
        if family != last {
            text.push_str("# HELP ");
            text.push_str(family);
            text.push(' ');
            escape(&mut text, &sample.help, format == Format::OpenMetrics);
            let _ = write!(text, "\n# TYPE {family} {kind}\n");
            last = family;
        }
        sample.write(&mut text);
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

/// Appends a text with what would end it, or its line, escaped.
fn escape(text: &mut String, value: &str, with_quotes: bool) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if with_quotes => text.push_str("\\\""),
            other => text.push(other),
        }
    }
}

/// Appends a number. Both formats have words for what is none.
fn number(text: &mut String, value: f64) {
    let _ = match value {
        f64::INFINITY => text.write_str("+Inf"),
        f64::NEG_INFINITY => text.write_str("-Inf"),
        _ => write!(text, "{value}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, kind: &str, labels: &[(&str, &str)], value: f64) -> Sample {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sample { name: name.to_owned(), kind: kind.to_owned(), help: "a \"b\" \\ c\nd".to_owned(), labels, value }
    }

    #[test]
    fn a_family_is_told_once_and_named_as_the_format_names_it() {
        let samples = [
            sample("a_total", "counter", &[("x", "1")], 1.0),
            sample("a_total", "counter", &[("x", "2"), ("y", "3")], 2.5),
            sample("b_info", "info", &[], 1.0),
            sample("c_seconds_bucket", "histogram", &[("le", "+Inf")], 4.0),
            sample("c_seconds_count", "histogram", &[], 4.0),
            sample("c_seconds_sum", "histogram", &[], f64::INFINITY),
        ];
        let (plain, open) = ("a \"b\" \\\\ c\\nd", "a \\\"b\\\" \\\\ c\\nd");
        let lines = |total: &str, info: &str, info_kind: &str, help: &str| {
            format!(
                "# HELP a{total} {help}\n# TYPE a{total} counter\na_total{{x=\"1\"}} 1\na_total{{x=\"2\",y=\"3\"}} 2.5\n\
                 # HELP b{info} {help}\n# TYPE b{info} {info_kind}\nb_info 1\n\
                 # HELP c_seconds {help}\n# TYPE c_seconds histogram\nc_seconds_bucket{{le=\"+Inf\"}} 4\n\
                 c_seconds_count 4\nc_seconds_sum +Inf\n"
            )
        };
        assert_eq!(write(&samples, Format::Prometheus), lines("_total", "_info", "gauge", plain));
        assert_eq!(write(&samples, Format::OpenMetrics), lines("", "", "info", open) + "# EOF\n");
    }

    #[test]
    fn buckets_stand_in_their_order() {
        let ends = ["+Inf", "10.0", "5.0", "0.005"];
        let mut samples = ends.map(|end| sample("c_seconds_bucket", "histogram", &[("le", end)], 0.0));
        samples.sort_by(Sample::order);
        assert_eq!(samples.map(|sample| sample.labels[0].1.clone()), ["0.005", "5.0", "10.0", "+Inf"]);
    }

    #[test]
    fn what_would_end_a_label_or_its_line_is_escaped() {
        let mut line = String::new();
        sample("q", "gauge", &[("queue", "a\"b\\c\nd")], 0.0).write(&mut line);
        assert_eq!(line, "q{queue=\"a\\\"b\\\\c\\nd\"} 0\n");
    }
}
