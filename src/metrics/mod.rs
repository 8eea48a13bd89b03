//! What a monitoring system collects: the rows of `foreman.metric_samples` (sql/55_metrics.sql), written as the text that it
//! reads. What only shared memory knows of them is told by `samples`, how they are written by `text`.

mod samples;
mod text;

pub use samples::samples;
pub use text::Format;

use crate::pg::activity;
use crate::pg::jsonb;
use crate::pg::spi::{self, Row, Statement};
use crate::reply::Reply;
use serde_json::{Value, json};
use std::time::Instant;
use text::Sample;

// Sorted here, since the server takes a fifth of the time to sort jsonb.
static SAMPLES: Statement =
    Statement::new(c"SELECT s.name, s.type, s.help, s.labels, s.value FROM foreman.metric_samples AS s", &[]);

/// A sample of these. Most are whole numbers, of which the server makes a jsonb in a tenth of the time.
fn sample(family: &'static str, suffix: Option<&'static str>, labels: Value, value: f64) -> Value {
    let value = if value.fract() == 0.0 && value.abs() < 1e15 { Value::from(value as i64) } else { value.into() };
    json!({"family": family, "suffix": suffix, "labels": labels, "value": value})
}

/// `metrics`: a reply with the text as its one field.
pub fn text(format: Format) -> Reply {
    let began = Instant::now();
    // The server copies the sessions once a transaction: who scrapes in one would see the same figures for ever.
    activity::look_anew();
    let mut samples: Vec<Sample> =
        spi::connect(|connection| connection.run(&SAMPLES, &[]).iter().filter_map(|row| read(&row)).collect());
    samples.push(text::duration(began.elapsed()));
    samples.sort_by(Sample::order);
    Reply::success().field("text", text::write(&samples, format))
}

/// A row of the view.
fn read(row: &Row) -> Option<Sample> {
    let labels = jsonb::members(row.jsonb(4)?).filter_map(|(name, value)| Some((name?, value.legible()?))).collect();
    Some(Sample { name: row.text(1)?, kind: row.text(2)?, help: row.text(3)?, labels, value: row.double(5)? })
}
